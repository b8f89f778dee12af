"""Convolutions with small feature maps as matrix products, without groups.

With few positions each weight is used rarely. In bfloat16 on a processor with AMX the products are up to four
times as fast as oneDNN (`benchmarks/README.md`). Large (N, C, H, W), small (N, K, h, w), weight (K, C, k, k).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.training.convolution_geometry import Geometry

MOST_POSITIONS = 36  # of the small map, for `gathered` and `scattered`
FEWEST_CHANNELS = 128  # of either map, for the same
MOST_NUMBERS = 1_700_000  # of windows in memory at once, for the same
GRADIENT_NUMBERS = 16_000_000  # of windows in memory at once, for weight gradients


def faster(inputs: Tensor, weight: Tensor, form: Geometry) -> bool:
    """Whether `gathered` or `scattered` is faster than oneDNN."""
    height, width = form.small_size(*inputs.shape[2:])
    return height * width <= MOST_POSITIONS and min(weight.shape[:2]) >= FEWEST_CHANNELS


def gathered(large: Tensor, weight: Tensor, bias: Tensor | None, form: Geometry) -> Tensor:
    """The small map: the windows of the large one times the weights."""
    matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1).t()  # (k·k·C, K)
    small = empty(large, len(weight), *form.small_size(*large.shape[2:]))
    rows, at = small.permute(0, 2, 3, 1).view(-1, len(weight)), 0  # (N·h·w, K)
    for windows in window_matrices(large, form, MOST_NUMBERS):
        some = rows[at : at + len(windows)]
        if bias is None:
            torch.mm(windows, matrix, out=some)
        else:
            torch.addmm(bias, windows, matrix, out=some)
        at += len(windows)
    return small


def scattered(small: Tensor, weight: Tensor, bias: Tensor | None, form: Geometry) -> Tensor:
    """The large map of a transposed convolution: each position of the small one adds a window to it."""
    matrix = weight.permute(0, 2, 3, 1).reshape(len(weight), -1)  # (K, k·k·C)
    large = empty(small, weight.shape[1], *form.large_size(*small.shape[2:]))
    part = max(1, MOST_NUMBERS // (matrix.shape[1] * small.shape[2:].numel()))  # images
    for some, result in zip(torch.split(small, part), torch.split(large, part), strict=True):
        scatter(some, matrix, form, result, 0 if bias is None else bias)
    return large


def scatter(small: Tensor, matrix: Tensor, form: Geometry, large: Tensor, bias: Tensor | int) -> None:
    """Write the large map of some images. Windows have the precision of the maps, their sum float32."""
    (count, channels, rows, columns), (height, width) = large.shape, small.shape[2:]
    kernel, pad, stride = form.kernel, form.padding, form.stride
    windows = small.permute(0, 2, 3, 1).reshape(-1, len(matrix)) @ matrix
    windows = windows.view(count, height, width, kernel, kernel * channels)
    sums = small.new_zeros(
        (count, rows + 2 * pad, (columns + 2 * pad) * channels),
        dtype=torch.promote_types(small.dtype, torch.float32),
    )
    for y in range(height):
        for x in range(width):
            at = x * stride * channels
            sums[:, y * stride : y * stride + kernel, at : at + kernel * channels] += windows[:, y, x]
    padded = sums.view(count, rows + 2 * pad, columns + 2 * pad, channels)
    large.permute(0, 2, 3, 1).copy_(padded[:, pad : pad + rows, pad : pad + columns].add_(bias))


def empty(like: Tensor, *shape: int) -> Tensor:
    """An empty map (N, C, H, W) channels-last, not a view, which a layer behind may change in place."""
    return torch.empty(
        (len(like), *shape), dtype=like.dtype, device=like.device, memory_format=torch.channels_last
    )


def weight_product(large: Tensor, small: Tensor, form: Geometry) -> Tensor:
    """The weight gradient (K, C, k, k): the small map times the windows of the large one."""
    outputs = small.shape[1]
    values = small.permute(0, 2, 3, 1).reshape(-1, outputs)  # (N·h·w, K)
    total: Any = None
    at = 0
    for windows in window_matrices(large, form, GRADIENT_NUMBERS):
        product = values[at : at + len(windows)].t().contiguous() @ windows  # (K, k·k·C)
        at += len(windows)
        if len(windows) == len(values):
            total = product
        elif total is None:
            total = product.to(torch.promote_types(product.dtype, torch.float32))
        else:
            total += product
    gradient: Tensor = total.to(large.dtype).view(outputs, form.kernel, form.kernel, -1)
    return gradient.permute(0, 3, 1, 2)


def window_matrices(large: Tensor, form: Geometry, most: int) -> Iterator[Tensor]:
    """Yield the windows of some images at a time, (n·h·w, k·k·C), copied: at most so many numbers."""
    count, channels, height, width = large.shape
    kernel, pad = form.kernel, form.padding
    side = form.down.small_size(height, width)
    padded = large.new_zeros(count, height + 2 * pad, width + 2 * pad, channels)
    padded[:, pad : pad + height, pad : pad + width] = large.permute(0, 2, 3, 1)
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(  # a window's row is k·C numbers that follow each other
        (count, *side, kernel, kernel * channels),
        (image, row * form.stride, column * form.stride, row, 1),
    )
    for some in torch.split(windows, max(1, most // windows.shape[1:].numel())):
        yield some.reshape(-1, kernel * kernel * channels)
