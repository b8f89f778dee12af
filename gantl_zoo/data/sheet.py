"""A contact sheet of a data set: images as training uses them, and those that a crop harms most."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from gantl_zoo.data import files
from gantl_zoo.data.arrays import source_of
from gantl_zoo.data.decode import Flat, flattened, opened, quiet, stored_grey
from gantl_zoo.data.fit import CROP, square_picture
from gantl_zoo.data.look import picture_of

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

    from gantl_zoo.data.report import DataReport

COLUMNS, TILE, GAP, HEAD = 10, 96, 6, 30
MARKED = 0.25  # images that lose a larger share of their pixels get a red frame
INK, PAGE, RED = "#222222", "#e6e6e3", "#d62728"
PAIRS = 5


def contact_sheet(report: DataReport) -> Picture:
    """Draw up to 100 evenly spaced images at the report's size; up to ten that a crop harms most, uncropped,
    with the lost part dimmed; and up to five pairs of near-duplicates.
    """
    from PIL import Image

    read = reader_of(report)
    cut = list(report.worst_cuts)
    tiles = [tile(read(name), report) for name in report.spread]
    size = report.image_size
    shown = f"{len(tiles)} of {report.images:,}" if len(tiles) < report.images else f"all {len(tiles)}"
    how = "cropped to a square" if report.fit == CROP else "padded to a square"
    how = how if report.not_square else "square as they are"
    parts = [
        (f"{Path(report.source).name}: {shown} images as training uses them: {size}×{size}, {how}", tiles)
    ]
    if cut:
        verb = "loses" if report.fit == CROP else "would lose"
        title = f"Largest losses: a crop {verb} the dimmed parts (--fit pad keeps everything)"
        parts.append((title, [whole(read(name), report.worst_cuts[name]) for name in cut]))
    if pairs := [name for group in report.near_duplicates[:PAIRS] for name in group[:2]]:
        parts.append(("Near-duplicates, in pairs", [tile(read(name), report) for name in pairs]))
    rows = [(title, tiles, -(-len(tiles) // COLUMNS)) for title, tiles in parts]
    high = sum(HEAD + count * (TILE + GAP) for _, _, count in rows) + GAP
    sheet = Image.new("RGB", (COLUMNS * (TILE + GAP) + GAP, high), PAGE)
    top = 0
    for title, tiles, count in rows:
        place(sheet, title, tiles, top)
        top += HEAD + count * (TILE + GAP)
    return sheet


def place(sheet: Picture, title: str, tiles: list[Picture], top: int) -> None:
    """Draw a title and its tiles, row by row."""
    from PIL import ImageDraw, ImageFont

    ImageDraw.Draw(sheet).text((GAP, top + 7), title, fill=INK, font=ImageFont.truetype(font(), 14))
    for number, picture in enumerate(tiles):
        row, column = divmod(number, COLUMNS)
        sheet.paste(picture, (GAP + column * (TILE + GAP), top + HEAD + row * (TILE + GAP)))


def font() -> str:
    """The path of a font with "×" and most alphabets."""
    from matplotlib import get_data_path

    return str(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf")


def tile(flat: Flat, report: DataReport) -> Picture:
    """The image as training uses it, in a red frame if a crop loses much of it."""
    from PIL import Image, ImageDraw

    picture = square_picture(flat.picture, report.image_size, report.fit, white=flat.transparent)
    picture = picture.convert("RGB").resize((TILE, TILE), Image.Resampling.BICUBIC)
    if report.fit == CROP and 1 - min(flat.picture.size) / max(flat.picture.size) > MARKED:
        ImageDraw.Draw(picture).rectangle((0, 0, TILE - 1, TILE - 1), outline=RED, width=3)
    return picture


def whole(flat: Flat, cut: float) -> Picture:
    """The uncropped image, with the part that a crop loses dimmed, and its share as text."""
    from PIL import Image, ImageDraw, ImageFont

    picture = flat.picture.convert("RGB")
    picture.thumbnail((TILE, TILE), Image.Resampling.LANCZOS)
    side = min(picture.size)
    left, top = (picture.width - side) // 2, (picture.height - side) // 2
    box = (left, top, left + side, top + side)
    dim = Image.blend(picture, Image.new("RGB", picture.size, "#888888"), 0.7)
    dim.paste(picture.crop(box), box[:2])
    ImageDraw.Draw(dim).rectangle((box[0], box[1], box[2] - 1, box[3] - 1), outline=RED)
    canvas = Image.new("RGB", (TILE, TILE), PAGE)
    canvas.paste(dim, ((TILE - dim.width) // 2, (TILE - dim.height) // 2))
    ImageDraw.Draw(canvas).text((3, TILE - 15), f"-{cut:.0%}", fill=RED, font=ImageFont.truetype(font(), 11))
    return canvas


def reader_of(report: DataReport) -> Callable[[str], Flat]:
    """A function from a name in the report to its picture."""
    if report.memory:
        parts = {part.split: part for part in report.memory}

        def from_memory(name: str) -> Flat:
            split, _, number = name.rpartition(" ")
            return Flat(picture_of(parts[split].images[int(number) : int(number) + 1][0].numpy()), False)

        return from_memory
    read = files.reader(Path(source_of(report.source)))  # type: ignore[arg-type]  # a place on disk

    def from_file(name: str) -> Flat:
        content = read(name)
        with quiet(), opened(content) as image:
            flat = flattened(image, stored_grey(image, content))
            return flat._replace(picture=flat.picture.copy())  # which outlives the file

    return from_file
