"""Draw a confusion matrix, and images with a caption each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError
from gantl_zoo.pixels import to_uint8

if TYPE_CHECKING:
    from PIL.Image import Image
    from PIL.ImageDraw import ImageDraw as Draw
    from PIL.ImageFont import FreeTypeFont

CELL, SMALL = 34, 14  # pixels of a cell; without numbers
NUMBERED = 30  # classes whose cells still have numbers
LARGEST = 150  # classes that are drawn
LABEL = 22  # characters of a class name in a picture
TILE, GAP = 128, 10  # pixels of a captioned image, and between two
LINE = 17  # pixels of a line of text
PAGE, INK, RED, BLUE = "white", "#222222", "#b3261e", (33, 84, 163)


def draw_confusion(confusion: Tensor, classes: Sequence[str], title: str) -> Image:
    """The matrix (L, L) as a picture: a row for each true class, a column for each predicted one.

    The darkness of a cell is its share of the row. Raises `UsageError` for more than 150 classes.
    """
    from PIL import Image, ImageDraw

    count = len(classes)
    if count > LARGEST:
        raise UsageError(f"a confusion matrix of {count} classes can't be drawn; the limit is {LARGEST}")
    cell, names = CELL if count <= NUMBERED else SMALL, [cut(name) for name in classes]
    text = font(12 if count <= NUMBERED else 10)
    margin = round(max(text.getlength(name) for name in names)) + 14
    left, top = LINE + 14 + margin, 2 * LINE + 14 + margin
    heading = font(14)
    wide = max(left + count * cell + GAP, round(heading.getlength(title)) + 2 * GAP)
    sheet = Image.new("RGB", (wide, top + count * cell + GAP), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 7), title, fill=INK, font=heading)
    draw.text((left + count * cell / 2, LINE + 20), "predicted class", fill=INK, font=font(12), anchor="mm")
    upright(sheet, "true class", (7, top + count * cell // 2), middle=True)
    for i, name in enumerate(names):
        middle = top + i * cell + cell / 2
        draw.text((left - 6, middle), name, fill=INK, font=text, anchor="rm")
        upright(sheet, name, (left + i * cell + cell // 2, top - 6), size=text.size)
        cells(draw, confusion[i], i, (left, top + i * cell, cell), numbered=count <= NUMBERED)
    return sheet


def cells(draw: Draw, row: Tensor, true: int, place: tuple[int, int, int], *, numbered: bool) -> None:
    """Draw a row of a confusion matrix at `place`: left, top and the size of a cell."""
    left, top, cell = place
    total = max(1, int(row.sum()))
    for column, count in enumerate(row.tolist()):
        share = count / total
        colour = BLUE if column == true else (179, 38, 30)
        fill = tuple(round(255 + (c - 255) * share**0.7) for c in colour)
        x = left + column * cell
        draw.rectangle((x, top, x + cell - 1, top + cell - 1), fill=fill, outline="#e4e4e4")
        if numbered and count:
            ink = PAGE if share > 0.4 else INK
            words = f"{count}" if count < 10_000 else f"{count / 1000:.0f}k"
            middle = (x + cell / 2, top + cell / 2)
            draw.text(middle, words, fill=ink, font=font(11), anchor="mm")


def upright(
    sheet: Image, text: str, place: tuple[int, int], *, size: float = 12, middle: bool = False
) -> None:
    """Write text from bottom to top: its lower end, or its middle, is at `place`."""
    from PIL import Image, ImageDraw

    letters = font(size)
    band = Image.new("RGB", (round(letters.getlength(text)) + 4, LINE + 2), PAGE)
    ImageDraw.Draw(band).text((2, (LINE + 2) / 2), text, fill=INK, font=letters, anchor="lm")
    band = band.rotate(90, expand=True)
    x, y = place
    sheet.paste(band, (max(0, x - band.width // 2), y - (band.height // 2 if middle else band.height)))


def captioned(images: Tensor, captions: Sequence[Sequence[str]], title: str, columns: int = 6) -> Image:
    """Images (N, C, H, W), uint8 or float in [-1, 1], each above its caption of a few lines, in rows."""
    from PIL import Image, ImageDraw

    images = images if images.dtype == torch.uint8 else to_uint8(images)
    columns = max(1, min(columns, len(images)))
    lines = max((len(caption) for caption in captions), default=0)
    high, head, text, heading = TILE + lines * LINE + GAP, LINE + 16, font(12), font(14)
    wide = max(columns * (TILE + GAP) + GAP, round(heading.getlength(title)) + 2 * GAP)
    sheet = Image.new("RGB", (wide, head + math.ceil(len(images) / columns) * high), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 7), title, fill=INK, font=heading)
    for number, (image, caption) in enumerate(zip(images, captions, strict=True)):
        row, column = divmod(number, columns)
        x, y = GAP + column * (TILE + GAP), head + row * high
        sheet.paste(enlarged(image), (x, y))
        for i, line in enumerate(caption):
            words = fitting(line, text, TILE + GAP - 4)
            draw.text((x, y + TILE + 2 + i * LINE), words, fill=RED if i else INK, font=text)
    return sheet


def enlarged(image: Tensor) -> Image:
    """An image (C, H, W), uint8, as a tile: by a whole factor if it is small."""
    from PIL import Image

    pixels = image.permute(1, 2, 0).numpy()
    picture = Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels).convert("RGB")
    small = max(picture.size) <= TILE // 2
    how = Image.Resampling.NEAREST if small else Image.Resampling.BICUBIC
    scale = TILE / max(picture.size)
    picture = picture.resize((round(picture.width * scale), round(picture.height * scale)), how)
    tile = Image.new("RGB", (TILE, TILE), PAGE)
    tile.paste(picture, ((TILE - picture.width) // 2, (TILE - picture.height) // 2))
    return tile


def fitting(text: str, letters: FreeTypeFont, width: int) -> str:
    """The text, shortened in the middle of its class name until it is at most `width` pixels wide."""
    name, space, rest = text.rpartition(" ")
    if not rest.endswith("%"):
        name, space, rest = text, "", ""
    whole = name
    while name and letters.getlength(f"{name}{space}{rest}") > width:
        whole = whole[:-1]
        name = f"{whole}…" if whole else ""
    return f"{name}{space}{rest}"


def cut(name: str) -> str:
    """A class name of at most `LABEL` characters."""
    return name if len(name) <= LABEL else f"{name[: LABEL - 1]}…"


def font(size: float) -> FreeTypeFont:
    """A font with most alphabets, in pixels."""
    from matplotlib import get_data_path
    from PIL import ImageFont

    return ImageFont.truetype(Path(get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf", size)
