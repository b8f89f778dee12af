"""Image grids, and labelled grids side by side."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantl_zoo.errors import DataError
from gantl_zoo.pixels import to_uint8
from gantl_zoo.storage.atomic import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST_TILE = 56  # smaller images are enlarged by an integer factor
GAP = 8


def grid(images: Tensor, columns: int | None = None, *, gap: int = 0, scale: int | None = None) -> Image:
    """Arrange images (N, C, H, W), uint8 or float in [-1, 1], in one picture, row by row.

    `gap` is the distance of two images in pixels, in white. `scale` is a whole factor by which each image is
    enlarged; None enlarges small ones only.
    """
    from PIL import Image

    images = images[:]  # reads the images of a stream
    images = images if images.dtype == torch.uint8 else to_uint8(images)
    factor = scale or max(1, math.ceil(SMALLEST_TILE / images.shape[2]))
    images = images.repeat_interleave(factor, 2).repeat_interleave(factor, 3)
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = (rows * columns, channels, height + gap, width + gap)
    tiles = images.new_full(size, 255 if gap else 0)
    tiles[:count, :, :height, :width] = images
    sheet = tiles.view(rows, columns, *size[1:]).permute(0, 3, 1, 4, 2)  # (R, H, K, W, C)
    pixels = sheet.reshape(rows * size[2], columns * size[3], channels)
    pixels = pixels[: len(pixels) - gap, : pixels.shape[1] - gap]  # without the last gaps
    return Image.fromarray((pixels[..., 0] if channels == 1 else pixels).numpy())


def side_by_side(panels: dict[str, Tensor], columns: int = 6) -> Image:
    """Draw each panel's images as a grid below the panel's title."""
    from PIL import Image, ImageDraw, ImageFont

    pictures = {title: grid(images, columns) for title, images in panels.items()}
    head = 28
    width = sum(picture.width + GAP for picture in pictures.values()) + GAP
    height = max(picture.height for picture in pictures.values()) + head + GAP
    sheet = Image.new("RGB", (width, height), "white")
    left = GAP
    for title, picture in pictures.items():
        ImageDraw.Draw(sheet).text((left, 5), title, fill="black", font=ImageFont.load_default(16))
        sheet.paste(picture.convert("RGB"), (left, head))
        left += picture.width + GAP
    return sheet


def save_picture(picture: Image, path: str | Path) -> Path:
    """Write a picture in the format of its suffix. Raises `DataError` if path or suffix is invalid."""
    path = Path(os.path.expanduser(path))
    try:
        with replace_file(path) as beside:
            picture.save(beside)
    except (OSError, ValueError) as error:
        raise DataError(
            f"can't write the picture {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return path
