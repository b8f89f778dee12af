"""`Convolution`: a convolution whose gradients of any order are convolutions and weight gradients.

torch computes second derivatives of weights as convolutions with feature maps for kernels, group by group,
which is slow. Here they are weight gradients again.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo.training import convolution_products as products
from gantl_zoo.training.convolution_geometry import Geometry


class Convolution(torch.autograd.Function):
    """A convolution or transposed convolution. Differentiable any number of times."""

    @staticmethod
    def forward(context: Any, inputs: Tensor, weight: Tensor, bias: Tensor | None, form: Geometry) -> Tensor:
        context.save_for_backward(inputs, weight)
        context.form = form
        return convolve(inputs, weight, bias, form)

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
        return (products.weight_product if form.product else weight_gradient)(large, small, form)

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


def convolve(inputs: Tensor, weight: Tensor, bias: Tensor | None, form: Geometry) -> Tensor:
    """The convolution (N, C, H, W) -> (N, K, h, w), or the transposed convolution back."""
    if form.product and products.faster(inputs, weight, form):
        return (products.scattered if form.transposed else products.gathered)(inputs, weight, bias, form)
    usual: Tensor = torch.ops.aten.convolution(inputs, weight, bias, *form.settings)
    return usual


def weight_gradient(large: Tensor, small: Tensor, form: Geometry) -> Tensor:
    """The weight gradient (K, C/g, k, k) of large (N, C, H, W) and small (N, K, h, w), by torch."""
    shape = (small.shape[1], large.shape[1] // form.groups, form.kernel, form.kernel)
    like = large.new_empty(shape)  # only its shape is used
    gradients: list[Tensor] = torch.ops.aten.convolution_backward(
        small, large, like, None, *form.down.settings, [False, True, False]
    )
    return gradients[1]
