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
    pixels = np.rint((images.astype(np.float32) + np.float32(1)) * np.float32(127.5))
    result: Array = np.nan_to_num(pixels, nan=0.0).clip(0, 255).astype(np.uint8)
    return result
