"""One picture of many images, and files of pictures. No torch."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gantl_zoo.errors import DataError
from gantl_zoo.pixels import Array
from gantl_zoo.storage.atomic import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

SMALLEST_TILE = 56  # smaller images are enlarged by an integer factor


def sheet(images: Array, columns: int | None = None, *, gap: int = 0, scale: int | None = None) -> Image:
    """Arrange images (N, C, H, W), uint8, in one picture, row by row; see `grid`."""
    from PIL import Image

    pixels = arranged(images, columns, gap=gap, scale=scale)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else pixels)


def arranged(images: Array, columns: int | None = None, *, gap: int = 0, scale: int | None = None) -> Array:
    """The pixels (H, W, C) of the picture of `sheet`."""
    factor = scale or max(1, math.ceil(SMALLEST_TILE / images.shape[2]))
    if factor > 1:
        images = images.repeat(factor, 2).repeat(factor, 3)
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if (rows * columns, gap) != (count, 0):  # white gaps, and black in the place of missing images
        tiles = np.full(
            (rows * columns, channels, height + gap, width + gap), 255 if gap else 0, images.dtype
        )
        tiles[:count, :, :height, :width] = images
        images = tiles
    height, width = images.shape[2:]
    parts = images.reshape(rows, columns, channels, height, width).transpose(0, 3, 1, 4, 2)  # (R, H, K, W, C)
    pixels = parts.reshape(rows * height, columns * width, channels)
    # without the last gaps
    return np.ascontiguousarray(pixels[: len(pixels) - gap, : pixels.shape[1] - gap])


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
