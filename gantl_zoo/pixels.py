"""Convert pixels between floats in [-1, 1], as networks use them, and uint8, as files store them.

Imports no torch.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from torch import Tensor

Array = npt.NDArray[Any]


def to_float(images: Tensor) -> Tensor:
    """Convert uint8 in [0, 255] to float32 in [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """Convert floats in [-1, 1] to uint8 in [0, 255], rounded and clamped."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).byte()


def to_float_array(images: Array) -> Array:
    """The same as `to_float`, of an array."""
    return images.astype(np.float32) / np.float32(127.5) - np.float32(1)


def to_uint8_array(images: Array) -> Array:
    """The same as `to_uint8`, of an array."""
    pixels = np.add(images, np.float32(1), dtype=np.float32)
    pixels *= np.float32(127.5)
    np.rint(pixels, out=pixels)
    result: Array = np.fmin(np.fmax(pixels, 0, out=pixels), 255, out=pixels).astype(np.uint8)  # NaN becomes 0
    return result
