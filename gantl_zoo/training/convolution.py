"""`Convolution`: a convolution whose gradients of any order are convolutions and weight gradients.

torch computes second derivatives of weights as convolutions with feature maps for kernels, group by group,
which is slow. Here they are weight gradients again.

A convolution maps the large feature map (N, C, H, W) to the small one (N, K, h, w); a transposed convolution
maps the small one to the large one. Both have weights (K, C/g, k, k) with g groups.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

MOST_NUMBERS = 16_000_000  # of windows in memory at once


@dataclass(frozen=True)
class Geometry:
    """How a convolution without dilation connects its feature maps.

    `product`: whether the weight gradient is computed as a matrix product; there are no groups then.
    """

    kernel: int
    stride: int
    padding: int
    groups: int = 1
    transposed: bool = False
    output_padding: int = 0
    product: bool = False

    @property
    def settings(self) -> tuple[Any, ...]:
        """Stride, padding, dilation, whether it is transposed, output padding, groups."""
        stride, padding, dilation, output_padding = (
            (value, value) for value in (self.stride, self.padding, 1, self.output_padding)
        )
        return stride, padding, dilation, self.transposed, output_padding, self.groups

    def apply(self, inputs: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The convolution or transposed convolution, (N, C, H, W) -> (N, K, h, w) or back."""
        result: Tensor = torch.ops.aten.convolution(inputs, weight, bias, *self.settings)
        return result

    @property
    def down(self) -> Geometry:
        """The convolution from the large map to the small one."""
        return replace(self, transposed=False, output_padding=0)

    def opposite(self, inputs: Tensor) -> Geometry:
        """The convolution that maps gradients of the outputs to those of `inputs` (N, C, H, W)."""
        if self.transposed:
            return self.down
        rest = (inputs.shape[2] + 2 * self.padding - self.kernel) % self.stride
        return replace(self, transposed=True, output_padding=rest)

    def small_size(self, height: int, width: int) -> tuple[int, int]:
        """The small map's height and width, if those of the inputs are `height` and `width`."""
        if self.transposed:
            return height, width
        more = 2 * self.padding - self.kernel
        return (height + more) // self.stride + 1, (width + more) // self.stride + 1


class Convolution(torch.autograd.Function):
    """A convolution or transposed convolution. Differentiable any number of times."""

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
    """The weight gradient (K, C/g, k, k) of large (N, C, H, W) and small (N, K, h, w). Linear in both."""

    @staticmethod
    def forward(context: Any, large: Tensor, small: Tensor, form: Geometry) -> Tensor:
        context.save_for_backward(large, small)
        context.form = form
        return (matrix_product if form.product else weight_gradient)(large, small, form)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Any:
        (large, small), form = context.saved_tensors, context.form
        of_large = of_small = None
        if context.needs_input_grad[0]:
            of_large = Convolution.apply(small, gradient, None, form.down.opposite(large))
        if context.needs_input_grad[1]:
            of_small = Convolution.apply(large, gradient, None, form.down)
        return of_large, of_small, None


def executed(context: Any, number: int) -> bool:
    """Whether autograd uses the gradient of an input now: a step of the generator uses none of the critic's.

    `needs_input_grad` only says whether it might be used.
    """
    node = context.next_functions[number][0]
    try:
        return bool(torch._C._will_engine_execute_node(node))
    except RuntimeError:  # it does not answer for a leaf whose gradient was asked for
        return True


def weight_gradient(large: Tensor, small: Tensor, form: Geometry) -> Tensor:
    """The weight gradient (K, C/g, k, k) of large (N, C, H, W) and small (N, K, h, w), by torch."""
    shape = (small.shape[1], large.shape[1] // form.groups, form.kernel, form.kernel)
    like = large.new_empty(shape)  # only its shape is used
    gradients: list[Tensor] = torch.ops.aten.convolution_backward(
        small, large, like, None, *form.down.settings, [False, True, False]
    )
    return gradients[1]


def matrix_product(large: Tensor, small: Tensor, form: Geometry) -> Tensor:
    """The same without groups as one product: the small map times the windows of the large one.

    Where maps are 8×8 or smaller and the processor has AMX, this is several times faster in bfloat16
    (benchmarks/README.md).
    """
    (count, channels, height, width), (_, outputs, *side) = large.shape, small.shape
    kernel, pad = form.kernel, form.padding
    padded = large.new_zeros(count, height + 2 * pad, width + 2 * pad, channels)
    padded[:, pad : pad + height, pad : pad + width] = large.permute(0, 2, 3, 1)
    image, row, column, _ = padded.stride()
    windows = padded.as_strided(  # a window's row is k·C numbers that follow each other
        (count, *side, kernel, kernel * channels), (image, row * form.stride, column * form.stride, row, 1)
    )
    values = small.permute(0, 2, 3, 1)
    part = max(1, MOST_NUMBERS // windows.shape[1:].numel())  # images
    total: Any = None
    for some, those in zip(torch.split(windows, part), torch.split(values, part), strict=True):
        matrix = some.reshape(-1, kernel * kernel * channels)  # (N·h·w, k·k·C), copied
        product = those.reshape(-1, outputs).t().contiguous() @ matrix  # (K, k·k·C)
        if part >= count:
            total = product
        elif total is None:
            total = product.to(torch.promote_types(product.dtype, torch.float32))
        else:
            total += product
    gradient: Tensor = total.to(large.dtype).view(outputs, kernel, kernel, channels)
    return gradient.permute(0, 3, 1, 2)
