"""Make images square: `crop` keeps the centre, `pad` keeps everything.

`pad` shrinks the whole image and fills the rest of the square: with white if the image has transparent
pixels, else with the median colour of the two edges next to the filling.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError, unknown

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

CROP, PAD = FITS = ("crop", "pad")
AT_ONCE = 1024  # images resized together


def check_fit(fit: Any) -> str:
    """Return `fit`. Raises `UsageError` if it is not one of `FITS`."""
    if fit not in FITS:
        raise UsageError(unknown("fit", fit, FITS))
    return str(fit)


def square_picture(picture: Picture, size: int, fit: str, *, white: bool = False) -> Picture:
    """Make a picture (L or RGB) a square of `size` by Lanczos resampling; `white` pads it with white."""
    from PIL import Image, ImageOps

    if picture.size == (size, size):
        return picture
    if fit == CROP or picture.width == picture.height:
        return ImageOps.fit(picture, (size, size), Image.Resampling.LANCZOS)
    small = picture.resize(inner_size(*picture.size, size), Image.Resampling.LANCZOS)
    pixels = np.asarray(small)
    edges = pixels[[0, -1]] if small.width == size else pixels[:, [0, -1]]  # (2, W, …) or (H, 2, …)
    colours = np.sort(edges.reshape(-1, len(small.getbands())), axis=0)
    median = colours[(len(colours) - 1) // 2].tolist()
    canvas = Image.new(small.mode, (size, size), "white" if white else tuple(median))
    canvas.paste(small, ((size - small.width) // 2, (size - small.height) // 2))
    return canvas


def square_tensor(images: Tensor, size: int, fit: str) -> Tensor:
    """Make images (N, C, H, W) uint8 squares (N, C, size, size) by antialiased bicubic resampling."""
    height, width = images.shape[2:]
    if fit == CROP or height == width:
        side = min(height, width)
        top, left = (height - side) // 2, (width - side) // 2
        return _resized(images[:, :, top : top + side, left : left + side], size, size)
    wide, high = inner_size(width, height, size)
    small = _resized(images, high, wide)
    edges = small[:, :, [0, -1]] if wide == size else small[:, :, :, [0, -1]]
    colours = edges.flatten(2).median(2).values  # (N, C)
    canvas = colours[:, :, None, None].repeat(1, 1, size, size)
    top, left = (size - high) // 2, (size - wide) // 2
    canvas[:, :, top : top + high, left : left + wide] = small
    return canvas


def inner_size(width: int, height: int, size: int) -> tuple[int, int]:
    """Width and height of the whole image inside a square of `size`."""
    longest = max(width, height)
    return max(1, round(width * size / longest)), max(1, round(height * size / longest))


def _resized(images: Tensor, height: int, width: int) -> Tensor:
    if images.shape[2:] == (height, width):
        return images.contiguous()
    parts = [  # torchvision's antialiased resampling of uint8, without its slow import
        functional.interpolate(part.float(), size=(height, width), mode="bicubic", antialias=True)
        for part in torch.split(images, AT_ONCE)
    ]
    return torch.cat([part.round().clamp(0, 255).to(torch.uint8) for part in parts])
