"""Pictures of `bench transfer`: samples of each cell, and a sheet of those with one seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.bench.cells import Row
from gantl_zoo.data import load
from gantl_zoo.model.gan import GAN
from gantl_zoo.viz.grid import grid, save_picture

if TYPE_CHECKING:
    from PIL.Image import Image

SAMPLES, COLUMNS = 9, 3  # of one panel
SAMPLE, TRAINING = "samples.png", "training.png"
REAL = "training images"
GAP, HEAD, SIDE = 8, 24, 90  # pixels: between panels, of the titles above and of the names beside them


def save_pictures(folder: Path, gan: GAN, settings: Mapping[str, Any]) -> None:
    """Write samples of a cell's best model, and some of its training images, into the cell's folder."""
    few: dict[str, Any] = {key: settings.get(key) for key in ("shots", "data_seed") if key in settings}
    images = load(settings["data"], image_size=gan.image_shape[1], root=settings["data_root"], **few)
    images = images.few(min(SAMPLES, len(images))).fit(None, gan.image_shape[0])
    for name, pixels in ((SAMPLE, gan.generate(SAMPLES, seed=0)), (TRAINING, images.images)):
        save_picture(grid(pixels, COLUMNS, scale=1), folder / name)


def panels(out: Path, rows: Sequence[Row]) -> dict[str, Path]:
    """The pictures of the cells with one seed, by their titles; training images first."""
    paths: dict[str, Path] = {}
    for row in sorted(rows, key=lambda row: row["seed"]):
        folder = out / row.get("folder", "none")
        if (folder / SAMPLE).is_file():
            paths.setdefault(REAL, folder / TRAINING)
            paths.setdefault(row["strategy"], folder / SAMPLE)
    return paths


def sample_sheet(path: Path, rows: Sequence[Row], shown: Mapping[str, str]) -> Path | None:
    """Write the samples of a pair: a row for each number of images, a column for each of the strategies.

    `shown` are the titles of the strategies, in their order. Returns the path, or None if no cell has a
    picture.
    """
    from PIL import Image

    shots = sorted({row["shots"] for row in rows}, key=lambda count: count or float("inf"))
    sheets = {f"{n or 'all'}": panels(path.parent, [r for r in rows if r["shots"] == n]) for n in shots}
    sheets = {name: pictures for name, pictures in sheets.items() if pictures}
    if not sheets:
        return None
    titles = [title for title in (REAL, *shown) if any(title in own for own in sheets.values())]
    opened = {
        (name, title): Image.open(own[title])
        for name, own in sheets.items()
        for title in titles
        if title in own
    }
    sheet = arranged(
        {f"{name} images": name for name in sheets}, {t: shown.get(t, t) for t in titles}, opened
    )
    return save_picture(sheet, path)


def arranged(
    names: Mapping[str, str], titles: Mapping[str, str], pictures: Mapping[tuple[str, str], Image]
) -> Image:
    """Arrange pictures in rows, with `names` by text, and in columns, with `titles` by name."""
    from PIL import Image, ImageDraw

    width = max(picture.width for picture in pictures.values()) + GAP
    height = max(picture.height for picture in pictures.values()) + GAP
    sheet = Image.new("RGB", (SIDE + width * len(titles), HEAD + height * len(names)), "white")
    draw = ImageDraw.Draw(sheet)
    for column, (title, shown) in enumerate(titles.items()):
        draw.text((SIDE + column * width, 6), shortened(draw, shown, width - GAP), fill="black")
        for row, (text, name) in enumerate(names.items()):
            draw.text((4, HEAD + row * height + height // 2), text, fill="black")
            if (name, title) in pictures:
                sheet.paste(pictures[name, title], (SIDE + column * width, HEAD + row * height))
    return sheet


def shortened(draw: Any, text: str, width: int) -> str:
    """The text, cut with an ellipsis if it is wider than that many pixels."""
    if draw.textlength(text) <= width:
        return text
    while text and draw.textlength(f"{text}…") > width:
        text = text[:-1]
    return f"{text}…"
