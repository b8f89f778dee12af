"""A table of images: rows with a caption each, columns with a title each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantl_zoo.pixels import to_uint8
from gantl_zoo.viz.confusion import font

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST, LARGEST = 72, 192  # pixels of a tile's side; others are enlarged or reduced
GAP, LINE, HEAD = 4, 16, 24
PAGE, INK, QUIET = "white", "#222222", "#666666"


def image_table(
    images: Tensor, captions: Sequence[Sequence[str]], heads: Sequence[str] = (), title: str = ""
) -> Image:
    """Images (R, T, C, H, W), uint8 or float in [-1, 1], in R rows and T columns.

    `captions` has a few lines for each row, written at its left, the first one darker. `heads` has a title
    for each column, or is empty.
    """
    from PIL import Image, ImageDraw

    letters, heading = font(12), font(14)
    left = GAP + round(max((letters.getlength(line) for lines in captions for line in lines), default=0))
    left += 2 * GAP if left > GAP else 0
    tiles = [[tile(image) for image in row] for row in images]
    wide, high = tiles[0][0].width + GAP, tiles[0][0].height + GAP
    lines = max((len(caption) for caption in captions), default=0)
    high = max(high, lines * LINE + GAP)
    top = (HEAD if title else GAP) + (HEAD if heads else 0)
    width = max(left + len(tiles[0]) * wide, round(heading.getlength(title)) + 2 * GAP)
    sheet = Image.new("RGB", (width, top + len(tiles) * high), PAGE)
    draw = ImageDraw.Draw(sheet)
    draw.text((GAP, 4), title, fill=INK, font=heading)
    for column, head in enumerate(heads):
        place = (left + column * wide + (wide - GAP) / 2, top - HEAD / 2)
        draw.text(place, head, fill=QUIET, font=letters, anchor="mm")
    for row, (line, caption) in enumerate(zip(tiles, captions, strict=True)):
        middle = top + row * high + (high - len(caption) * LINE) / 2
        for i, text in enumerate(caption):
            draw.text((GAP, middle + i * LINE - 2), text, fill=QUIET if i else INK, font=letters)
        for column, picture in enumerate(line):
            sheet.paste(picture, (left + column * wide, top + row * high))
    return sheet


def tile(image: Tensor) -> Image:
    """An image (C, H, W) as a picture of a readable size."""
    from PIL import Image

    pixels = image.detach().cpu()
    pixels = pixels if pixels.dtype == torch.uint8 else to_uint8(pixels)
    side = max(pixels.shape[1:])
    scale = max(1, math.ceil(SMALLEST / side))
    pixels = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2).permute(1, 2, 0)
    picture = Image.fromarray((pixels[..., 0] if pixels.shape[2] == 1 else pixels).numpy()).convert("RGB")
    picture.thumbnail((LARGEST, LARGEST))
    return picture
