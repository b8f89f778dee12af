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

MOST_POSITIONS = 64  # of the smaller feature map
FEWEST_CHANNELS = 32  # of either


class MatrixProducts(TorchFunctionMode):
    """Context: convolutions in autocast's precision are computed so if their maps are small.

    Weight gradients are products up to `MOST_POSITIONS`, other parts where `faster` says so.
    """

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
            if suits(call) and (torch.is_grad_enabled() or is_faster(call)):
                return as_product(call).replaced()
        return func(*args, **settings)


def suits(call: Call) -> bool:
    """Whether the weight gradient of a call is faster as a matrix product than in oneDNN."""
    form, weight = call.form, call.weight
    if form is None or form.groups > 1 or form.kernel == 1:
        return False
    if weight.dtype != torch.float32 or not weight.requires_grad:
        return False
    height, width = form.small_size(*call.inputs.shape[2:])
    return height * width <= MOST_POSITIONS and min(weight.shape[:2]) >= FEWEST_CHANNELS


def is_faster(call: Call) -> bool:
    """Whether the call itself is faster as a matrix product than in oneDNN."""
    return call.form is not None and faster(call.inputs, call.weight, call.form)


def as_product(call: Call) -> Call:
    """The call in autocast's precision, with matrix products."""
    dtype = torch.get_autocast_dtype("cpu")
    bias = None if call.bias is None else call.bias.to(dtype)
    assert call.form is not None
    return Call(call.inputs.to(dtype), call.weight.to(dtype), bias, replace(call.form, product=True))
