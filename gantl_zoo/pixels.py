"""Pixel values as training needs them, floats in [-1, 1], and as files hold them, uint8."""

from __future__ import annotations

import torch
from torch import Tensor


def to_float(images: Tensor) -> Tensor:
    """uint8 [0, 255] to float32 [-1, 1]."""
    return images.float() / 127.5 - 1


def to_uint8(images: Tensor) -> Tensor:
    """float [-1, 1] to uint8 [0, 255], clamped and rounded."""
    return ((images.float() + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)
