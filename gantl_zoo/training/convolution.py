"""Convolutions whose weight gradient is a matrix product.

Where feature maps are 8×8 or smaller, oneDNN computes a weight gradient several times slower than a forward
convolution, if the processor has AMX (benchmarks/README.md). A weight gradient is also the product of two
matrices: the small map, and the windows of the large map below it.

A convolution maps the large feature map (N, C, H, W) to the small one (N, K, h, w); a transposed convolution
maps the small one to the large one. Both have weights (K, C, k, k).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

MOST_WINDOWS = 16_000_000  # numbers in memory at once


@dataclass(frozen=True)
class Geometry:
    """How a convolution without groups and dilation connects its feature maps."""

    kernel: int
    stride: int
    padding: int
    transposed: bool = False
    output_padding: int = 0

    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution or transposed convolution, (N, C, H, W) -> (N, K, h, w) or back."""
        pairs = [(value, value) for value in (self.stride, self.padding, 1, self.output_padding)]
        stride, padding, dilation, output_padding = pairs
        result: Tensor = torch.ops.aten.convolution(
            inputs, weight, bias, stride, padding, dilation, self.transposed, output_padding, 1
        )
        return result

    def opposite(self, inputs: Tensor) -> Geometry:
        """The convolution that maps gradients of the outputs to those of `inputs` (N, C, H, W)."""
        if self.transposed:
            return Geometry(self.kernel, self.stride, self.padding)
        left = (inputs.shape[2] + 2 * self.padding - self.kernel) % self.stride
        return Geometry(self.kernel, self.stride, self.padding, True, left)

    def small(self, height: int, width: int) -> tuple[int, int]:
        """The small map's height and width, if those of the inputs are `height` and `width`."""
        if self.transposed:
            return height, width
        left = 2 * self.padding - self.kernel
        return (height + left) // self.stride + 1, (width + left) // self.stride + 1


class Convolution(torch.autograd.Function):
    """A convolution with this weight gradient. Differentiable any number of times."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, form: Geometry) -> Tensor:
        context.save_for_backward(inputs, weight)
        context.form = form
        return form.apply(inputs, weight, bias)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        (inputs, weight), form = context.saved_tensors, context.form
        of_inputs = of_weight = of_bias = None
        if context.needs_input_grad[0]:
            of_inputs = Convolution.apply(gradient, weight, None, form.opposite(inputs))
        if context.needs_input_grad[1] and executed(context, 1):
            pair = (gradient, inputs) if form.transposed else (inputs, gradient)
            of_weight = WeightGradient.apply(*pair, form)
        if context.needs_input_grad[2]:
            of_bias = gradient.sum((0, 2, 3))
        return of_inputs, of_weight, of_bias, None


class WeightGradient(torch.autograd.Function):
    """The weight gradient (K, C, k, k) of large (N, C, H, W) and small (N, K, h, w). Linear in both."""

    @staticmethod
    def forward(context: Any, large: Tensor, small: Tensor, form: Geometry) -> Tensor:
        context.save_for_backward(large, small)
        context.form = form
        return weight_gradient(large, small, form)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        (large, small), form = context.saved_tensors, context.form
        down = Geometry(form.kernel, form.stride, form.padding)
        of_large = of_small = None
        if context.needs_input_grad[0]:
            of_large = Convolution.apply(small, gradient, None, down.opposite(large))
        if context.needs_input_grad[1]:
            of_small = Convolution.apply(large, gradient, None, down)
        return of_large, of_small, None


def executed(context: Any, number: int) -> bool:
    """Whether autograd uses the gradient of an input now: a step of the generator uses none of the critic's.

    `needs_input_grad` only says whether it might be used.
    """
    node = context.next_functions[number][0]
    if hasattr(node, "variable"):  # a leaf, about which autograd can't be asked
        return True
    return bool(torch._C._will_engine_execute_node(node))


def weight_gradient(large: Tensor, small: Tensor, form: Geometry) -> Tensor:
    """The weight gradient (K, C, k, k) of large (N, C, H, W) and small (N, K, h, w)."""
    (count, channels, height, width), (_, outputs, *side) = large.shape, small.shape
    kernel, pad = form.kernel, form.padding
    padded = large.new_zeros(count, height + 2 * pad, width + 2 * pad, channels)
    padded[:, pad : pad + height, pad : pad + width] = large.permute(0, 2, 3, 1)
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(  # a window's row is k·C numbers that follow each other
        (count, *side, kernel, kernel * channels), (image, row * form.stride, column * form.stride, row, 1)
    )
    values = small.permute(0, 2, 3, 1)
    part = max(1, MOST_WINDOWS // windows[0].numel())  # images
    exact = torch.promote_types(large.dtype, torch.float32)
    total: Any = 0
    for some, those in zip(torch.split(windows, part), torch.split(values, part), strict=True):
        matrix = some.reshape(-1, kernel * kernel * channels)  # (N·h·w, k·k·C), copied
        product = those.reshape(-1, outputs).t().contiguous() @ matrix  # (K, k·k·C)
        total = total + product.to(exact)
    gradient: Tensor = total.to(large.dtype).view(outputs, kernel, kernel, channels)
    return gradient.permute(0, 3, 1, 2)
