"""The resampling filters of StyleGAN2 (`stylegan2.py`) and R3GAN (`r3.py`), as depthwise convolutions.

The gradient of a filter is a filter again, also in second derivatives. PyTorch's own second derivative of a
depthwise convolution is a loop over the channels.

N batch, K channels of a feature map h × w. `kernel` is a filter (4, 4) whose sum is 1.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

TAPS = (1.0, 3.0, 3.0, 1.0)  # of the low-pass filter, in each direction


def new_kernel() -> Tensor:
    """The low-pass filter (4, 4)."""
    kernel = torch.outer(torch.tensor(TAPS), torch.tensor(TAPS))
    return kernel / kernel.sum()


def blur(maps: Tensor, kernel: Tensor, padding: int) -> Tensor:
    """Filter maps: (N, K, h, w) -> (N, K, h + 2·padding - 3, w + 2·padding - 3)."""
    return apply(maps, kernel, 1, padding, False)


def downsample(maps: Tensor, kernel: Tensor) -> Tensor:
    """Filter maps and keep every second row and column: (N, K, h, w) -> (N, K, h/2, w/2)."""
    return apply(maps, kernel, 2, 1, False)


def upsample(maps: Tensor, kernel: Tensor) -> Tensor:
    """Insert zeros between rows and columns, then filter: (N, K, h, w) -> (N, K, 2h, 2w)."""
    return apply(maps, 4 * kernel, 2, 1, True)  # three of four values are zero


def apply(maps: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
    """Filter maps, as a differentiable function of the maps alone."""
    device = maps.device.type
    if maps.dtype == torch.float32 and device != "meta" and torch.is_autocast_enabled(device):
        maps = maps.to(torch.get_autocast_dtype(device))  # as a convolution does, but before `compute` looks
    if not (torch.is_grad_enabled() and maps.requires_grad):  # exported graphs have plain convolutions
        return compute(maps, kernel, stride, padding, transposed)
    result: Tensor = _Filter.apply(maps, kernel, stride, padding, transposed)
    return result


def compute(maps: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool) -> Tensor:
    """A depthwise convolution of maps (N, K, h, w), or the transposed one."""
    if transposed and stride == 1:
        kernel, padding, transposed = kernel.flip(0, 1), 3 - padding, False
    elif transposed and maps.element_size() == 2 and maps.device.type == "cpu":
        # PyTorch's transposed convolution is 15 times as slow in half precision
        kernel, stride, transposed, maps = kernel.flip(0, 1), 1, False, spread(maps)
    weight = kernel.to(maps.dtype).expand(maps.shape[1], 1, -1, -1)  # (4, 4) -> (K, 1, 4, 4)
    convolve = functional.conv_transpose2d if transposed else functional.conv2d
    return convolve(maps, weight, stride=stride, padding=padding, groups=maps.shape[1])


def spread(maps: Tensor) -> Tensor:
    """Maps with zeros around each value: (N, K, h, w) -> (N, K, 2h + 1, 2w + 1)."""
    count, channels, height, width = maps.shape
    zeros = maps.new_zeros(count, 2 * height + 1, 2 * width + 1, channels).permute(0, 3, 1, 2)
    zeros[:, :, 1::2, 1::2] = maps
    return zeros


class _Filter(torch.autograd.Function):
    """`compute`, whose gradient is `apply` with `transposed` inverted."""

    @staticmethod
    def forward(
        ctx: Any, maps: Tensor, kernel: Tensor, stride: int, padding: int, transposed: bool
    ) -> Tensor:
        ctx.save_for_backward(kernel)
        ctx.settings = stride, padding, not transposed
        return compute(maps, kernel, stride, padding, transposed)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return apply(gradient, *ctx.saved_tensors, *ctx.settings), None, None, None, None
