"""Linear maps of an image's channels."""

from __future__ import annotations

import torch
from torch import Tensor


def mix(images: Tensor, matrix: Tensor, shift: Tensor) -> Tensor:
    """`matrix` (N, C, C) times the channels of each image (N, C, H, W), plus `shift` (N, 1, 1).

    The product also reads images with channels last, and its result has them first: a copy costs more.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)
    with torch.autocast(images.device.type, enabled=False):
        mixed = torch.baddbmm(shift.to(dtype), matrix.to(dtype), images.to(dtype).flatten(2))  # (N, C, HW)
    return mixed.view(images.shape).to(images.dtype)
