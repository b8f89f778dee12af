"""The resampling filters of StyleGAN2 (`stylegan2.py`), as depthwise convolutions.

N batch, K channels of a feature map h × w. `kernel` is a filter (4, 4) whose sum is 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

TAPS = (1.0, 3.0, 3.0, 1.0)  # of the low-pass filter, in each direction


def new_kernel() -> Tensor:
    """The low-pass filter (4, 4)."""
    kernel = torch.outer(torch.tensor(TAPS), torch.tensor(TAPS))
    return kernel / kernel.sum()


def depthwise(kernel: Tensor, maps: Tensor) -> Tensor:
    """The kernel (K, 1, 4, 4) of a depthwise convolution of maps (N, K, h, w), in their dtype."""
    return kernel.to(maps.dtype).expand(maps.shape[1], 1, -1, -1)


def blur(maps: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filter maps: (N, K, h, w) -> (N, K, h + 2·padding - 3, w + 2·padding - 3)."""
    return functional.conv2d(maps, depthwise(kernel, maps), padding=padding, groups=maps.shape[1])


def downsample(maps: Tensor, kernel: Tensor) -> Tensor:
    """Filter maps and keep every second row and column: (N, K, h, w) -> (N, K, h/2, w/2)."""
    return functional.conv2d(maps, depthwise(kernel, maps), stride=2, padding=1, groups=maps.shape[1])


def upsample(maps: Tensor, kernel: Tensor) -> Tensor:
    """Insert zeros between rows and columns, then filter: (N, K, h, w) -> (N, K, 2h, 2w)."""
    weight = depthwise(4 * kernel, maps)  # three of four values are zero
    return functional.conv_transpose2d(maps, weight, stride=2, padding=1, groups=maps.shape[1])
