"""`MatrixProducts`: convolutions with small feature maps, and their gradients, are matrix products.

The windows take memory, so large maps are left to oneDNN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gantl_zoo.training.convolution_calls import CALLS, Call
from gantl_zoo.training.convolution_products import faster

GRADIENT_POSITIONS = 64  # of the small map, at most, for products as weight gradients
GRADIENT_CHANNELS = 32  # of either map, at least


class MatrixProducts(TorchFunctionMode):
    """Context: in autocast, convolutions with small maps and their gradients are matrix products."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = dict(kwargs or {})
        if func in CALLS and torch.is_autocast_enabled("cpu"):
            call = CALLS[func](*args, **settings)
            if possible(call) and (is_faster(call) or has_faster_gradient(call)):
                return as_product(call).replaced()
        return func(*args, **settings)


def possible(call: Call) -> bool:
    """Whether a matrix product can compute a call."""
    form = call.form
    if form is None or form.groups > 1 or form.kernel == 1 or call.weight.dtype != torch.float32:
        return False
    return min(form.small_size(*call.inputs.shape[2:])) > 0 and form.output_padding < form.stride


def is_faster(call: Call) -> bool:
    """Whether the call and the gradient of its inputs are faster as matrix products than in oneDNN."""
    return call.form is not None and faster(call.inputs, call.weight, call.form)


def has_faster_gradient(call: Call) -> bool:
    """Whether there will be a weight gradient that is faster as a matrix product."""
    if call.form is None or not (torch.is_grad_enabled() and call.weight.requires_grad):
        return False
    height, width = call.form.small_size(*call.inputs.shape[2:])
    return height * width <= GRADIENT_POSITIONS and min(call.weight.shape[:2]) >= GRADIENT_CHANNELS


def as_product(call: Call) -> Call:
    """The call in autocast's precision, with matrix products."""
    dtype = torch.get_autocast_dtype("cpu")
    bias = None if call.bias is None else call.bias.to(dtype)
    assert call.form is not None
    return Call(call.inputs.to(dtype), call.weight.to(dtype), bias, replace(call.form, product=True))
