"""`WeightGradients`: weight gradients of convolutions with small feature maps are matrix products.

The windows of `matrix_product` take memory, so large maps are left to oneDNN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch.overrides import TorchFunctionMode

from gantl_zoo.training.convolution_calls import CALLS, Call

MOST_POSITIONS = 64  # of the smaller feature map
FEWEST_CHANNELS = 32  # of either


class WeightGradients(TorchFunctionMode):
    """Context: convolutions in autocast's precision have such weight gradients if their maps are small."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = dict(kwargs or {})
        if func in CALLS and torch.is_grad_enabled() and torch.is_autocast_enabled("cpu"):
            call = CALLS[func](*args, **settings)
            if suits(call):
                return as_product(call).replaced()
        return func(*args, **settings)


def suits(call: Call) -> bool:
    """Whether a matrix product is faster than oneDNN for the weight gradient."""
    form, weight = call.form, call.weight
    if form is None or form.groups > 1 or form.kernel == 1:
        return False
    if weight.dtype != torch.float32 or not weight.requires_grad:
        return False
    height, width = form.small_size(*call.inputs.shape[2:])
    return height * width <= MOST_POSITIONS and min(weight.shape[:2]) >= FEWEST_CHANNELS


def as_product(call: Call) -> Call:
    """The call in autocast's precision, with the matrix product."""
    dtype = torch.get_autocast_dtype("cpu")
    bias = None if call.bias is None else call.bias.to(dtype)
    assert call.form is not None
    return Call(call.inputs.to(dtype), call.weight.to(dtype), bias, replace(call.form, product=True))
