"""Sampling images at other places, as a differentiable function of the images.

PyTorch's `grid_sample` has no second derivative, which R1 needs. It is linear in the images, so its
derivatives are the function itself and its transpose.

N batch, C channels, H, W size of the images; h, w that of the result.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

# (interpolation, border, align_corners) of `torch.grid_sampler`
MIRRORED = 0, 2, True  # bilinear; -1 and 1 are the centres of the outer pixels, where images are mirrored
ZEROS = 1, 0, False  # the nearest pixel; -1 and 1 are the borders of the image, with zeros outside
REPLICATED = 1, 1, False  # the same, with the outer pixels continued

How = tuple[int, int, bool]


def places(across: Tensor, down: Tensor) -> Tensor:
    """The sums of what columns (N, 2, w) and rows (N, 2, h) add to x and y: places (N, h, w, 2) for `sample`.

    All x lie together in memory, and all y: pairs are computed several times slower.
    """
    return (across[:, :, None] + down[..., None]).permute(0, 2, 3, 1)


def sample(images: Tensor, grid: Tensor, how: How, back: Tensor | None = None) -> Tensor:
    """The images (N, C, H, W) at places (N, h, w, 2), x and y from -1 to 1: (N, C, h, w).

    `back`: the places where the transpose samples, for maps whose transpose is such a map, too. Reading is
    faster than adding to places.
    """
    dtype = torch.promote_types(images.dtype, torch.float32)  # half precision has too few digits for places
    back = None if back is None else back.to(dtype)
    result: Tensor = _Sample.apply(images.to(dtype), grid.to(dtype), back, how)
    return result.to(images.dtype)


class _Sample(torch.autograd.Function):
    """`grid_sample`."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, grid: Tensor, back: Tensor | None, how: How) -> Tensor:
        ctx.save_for_backward(images if back is None else None, grid, back)
        ctx.how = how
        return torch.grid_sampler_2d(images, grid, *how)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        images, grid, back = ctx.saved_tensors
        if back is not None:
            return _Sample.apply(gradient, back, grid, ctx.how), None, None, None
        return _Transposed.apply(gradient, images, grid, ctx.how), None, None, None


class _Transposed(torch.autograd.Function):
    """The gradient of `_Sample`, as a function of that of the result. Of the images only the shape counts."""

    @staticmethod
    def forward(ctx: Any, gradient: Tensor, images: Tensor, grid: Tensor, how: How) -> Tensor:
        ctx.save_for_backward(grid)
        ctx.how = how
        backward = torch.ops.aten.grid_sampler_2d_backward
        result: Tensor = backward(gradient, images, grid, *how, [True, False])[0]
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        return _Sample.apply(gradient, *ctx.saved_tensors, None, ctx.how), None, None, None
