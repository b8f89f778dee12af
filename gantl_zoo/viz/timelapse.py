"""Write an animation of the pictures that a run wrote over time."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from gantl_zoo.storage.atomic import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

FRAMES = 24  # more pictures are thinned out
SIDE = 512  # pixels; larger pictures are reduced
BAND = 22  # pixels of the line with the step
FRAME, HOLD = 400, 2_000  # milliseconds that a frame, and the last one, is shown
QUALITIES = (80, 60, 40)  # of WebP: the first one that gives a small file
LARGEST = 1_500_000  # bytes


def write(pictures: Sequence[tuple[int, Path]], path: Path) -> Path | None:
    """Write pictures, each with its step, as an animated WebP of at most about 1.5 MB that loops.

    At most 24 frames of at most 512 pixels a side, each with its step below. Returns None for fewer than two
    pictures, or if this Pillow can't write WebP. Files that can't be read are left out.
    """
    from PIL import features

    steps = thinned(pictures, FRAMES)
    frames = [shown for step, file in steps if (shown := frame(file, step)) is not None]
    if len(frames) < 2 or not features.check("webp"):
        return None
    frames = [one.resize(frames[-1].size) for one in frames]
    times = [FRAME] * (len(frames) - 1) + [HOLD]
    with replace_file(path) as beside:
        for quality in QUALITIES:
            options = {"append_images": frames[1:], "duration": times, "loop": 0, "quality": quality}
            frames[0].save(beside, format="WEBP", save_all=True, method=2, **options)
            if beside.stat().st_size <= LARGEST:
                break
    return path


def thinned(pictures: Sequence[tuple[int, Path]], count: int) -> list[tuple[int, Path]]:
    """At most `count` of the pictures at even distances, the first and the last among them."""
    last = len(pictures) - 1
    if last < count:
        return list(pictures)
    return [pictures[round(i * last / (count - 1))] for i in range(count)]


def frame(file: Path, step: int) -> Image | None:
    """A picture of at most 512 pixels a side with its step below; None if it can't be read."""
    from PIL import Image, ImageDraw, ImageFont

    try:
        picture = Image.open(file).convert("RGB")
    except OSError:
        return None
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    sheet = Image.new("RGB", (picture.width, picture.height + BAND), "white")
    sheet.paste(picture, (0, 0))
    font = ImageFont.load_default(14)
    ImageDraw.Draw(sheet).text((6, picture.height + 3), f"step {step:,}", fill="black", font=font)
    return sheet
