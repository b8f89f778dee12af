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

    factor = scale or max(1, math.ceil(SMALLEST_TILE / images.shape[2]))
    images = images.repeat(factor, 2).repeat(factor, 3)
    count, channels, height, width = images.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    size = (rows * columns, channels, height + gap, width + gap)
    tiles = np.full(size, 255 if gap else 0, images.dtype)
    tiles[:count, :, :height, :width] = images
    parts = tiles.reshape(rows, columns, *size[1:]).transpose(0, 3, 1, 4, 2)  # (R, H, K, W, C)
    pixels = parts.reshape(rows * size[2], columns * size[3], channels)
    pixels = pixels[: len(pixels) - gap, : pixels.shape[1] - gap]  # without the last gaps
    return Image.fromarray(np.ascontiguousarray(pixels[..., 0] if channels == 1 else pixels))


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
