"""Image grids, and labelled grids side by side."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from gantl_zoo.pixels import to_uint8
from gantl_zoo.viz.sheet import save_picture, sheet

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["grid", "save_picture", "side_by_side"]
GAP = 8


def grid(images: Tensor, columns: int | None = None, *, gap: int = 0, scale: int | None = None) -> Image:
    """Arrange images (N, C, H, W), uint8 or float in [-1, 1], in one picture, row by row.

    `gap` is the distance of two images in pixels, in white. `scale` is a whole factor by which each image is
    enlarged; None enlarges small ones only.
    """
    images = images[:]  # reads the images of a stream
    pixels = images if images.dtype == torch.uint8 else to_uint8(images)
    return sheet(pixels.cpu().numpy(), columns, gap=gap, scale=scale)


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
