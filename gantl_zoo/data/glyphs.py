"""`glyphs`: the letters A to Z in matplotlib's fonts. Needs no files and no network.

Letters are white on black like MNIST, each with its own size, slant, rotation and position. They depend on
the seed only. The test split uses other fonts than the training split.
"""

from __future__ import annotations

import string
from functools import cache
from pathlib import Path

import numpy as np
import torch

from gantl_zoo.data.images import ImageData
from gantl_zoo.data.registered import sized
from gantl_zoo.errors import DataError

TRAIN_FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSans-Oblique", "DejaVuSans-BoldOblique",
    "DejaVuSansMono", "DejaVuSansMono-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSerif-Italic",
    "STIXGeneral", "STIXGeneralItalic", "STIXGeneralBolIta", "cmb10", "cmr10", "cmtt10",
)  # fmt: skip
TEST_FONTS = ("DejaVuSansMono-Oblique", "DejaVuSerif-BoldItalic", "STIXGeneralBol", "cmss10")
COUNTS = {"train": 20_000, "test": 4_000}
CANVAS = 4  # letters are drawn at four times the size, for smooth edges after slant and rotation


@sized(COUNTS["train"], COUNTS["test"], (1, 28, 28))
def glyphs(split: str, *, image_size: int | None, data_seed: int = 0) -> ImageData:
    """Glyphs: 24,000 letters A to Z drawn from fonts, 28×28 grey or any size, offline."""
    seed = data_seed if split == "train" else 0  # the test split is the same for every seed
    return load(split, seed=seed, image_size=image_size or 28)


@cache  # a run needs them twice: as its images, and for the floor of its metrics
def load(split: str, *, seed: int = 0, image_size: int = 28) -> ImageData:
    """Draw letters (N, 1, image_size, image_size), all 26 classes equally often."""
    from PIL import Image, ImageDraw, ImageFont

    folder = _fonts()
    side = CANVAS * image_size
    fonts = {
        name: [
            ImageFont.truetype(str(folder / f"{name}.ttf"), round(side * size)) for size in (0.6, 0.7, 0.8)
        ]
        for name in (TRAIN_FONTS if split == "train" else TEST_FONTS)
    }
    random = np.random.RandomState(
        2 * seed + (split == "test")
    )  # NumPy never changes the numbers of RandomState
    count = COUNTS[split]
    images = np.empty((count, 1, image_size, image_size), np.uint8)
    names = sorted(fonts)
    for i in range(count):
        font = fonts[names[random.randint(len(names))]][random.randint(3)]
        canvas = Image.new("L", (side, side))
        where = (side / 2, side / 2)
        ImageDraw.Draw(canvas).text(where, string.ascii_uppercase[i % 26], fill=255, font=font, anchor="mm")
        turned = canvas.transform(
            (side, side), Image.Transform.AFFINE, _jitter(random, side), Image.Resampling.BILINEAR
        )
        images[i, 0] = np.asarray(turned.resize((image_size, image_size), Image.Resampling.BOX))
    labels = torch.arange(count) % 26
    return ImageData(torch.from_numpy(images), labels, tuple(string.ascii_uppercase), "glyphs", split)


def _jitter(random: np.random.RandomState, side: int) -> tuple[float, ...]:
    """A small rotation (up to 12°), slant and shift (up to 7 %) about the centre, as six coefficients."""
    turn, slant = random.uniform(-0.21, 0.21), random.uniform(-0.2, 0.2)
    shift = random.uniform(-0.07, 0.07, 2) * side
    matrix = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) @ [[1, slant], [0, 1]]
    centre = np.array([side / 2, side / 2])
    (a, b), (d, e) = matrix
    c, f = centre - matrix @ (centre + shift)
    return a, b, c, d, e, f


def _fonts() -> Path:
    from matplotlib import get_data_path

    folder = Path(get_data_path()) / "fonts" / "ttf"
    absent = [name for name in TRAIN_FONTS + TEST_FONTS if not (folder / f"{name}.ttf").is_file()]
    if absent:
        raise DataError(f"glyphs needs matplotlib's fonts; missing in {folder}: {', '.join(absent)}")
    return folder
