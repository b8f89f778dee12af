"""`SecondDerivatives`: layers whose second derivatives are cheap, for gradient penalties.

The second derivative of ReLU and LeakyReLU is zero wherever it exists. torch computes it as a tensor of zeros
and passes these zeros back through all layers before. Here these functions are products with their own slope,
a constant, so that there is nothing to pass back. Convolutions are those of `convolution.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from gantl_zoo.training.convolution_calls import CALLS


class SecondDerivatives(TorchFunctionMode):
    """Context: gradients of what is computed inside are cheaper to differentiate.

    Finite values are as usual.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        settings = dict(kwargs or {})
        if func in CALLS and torch.is_grad_enabled():
            call = CALLS[func](*args, **settings)
            if call.form is not None:
                return call.replaced()
        function: Any = PRODUCTS.get(func, func)
        return function(*args, **settings)


def leaky_relu(input: Tensor, negative_slope: float = 0.01, inplace: bool = False) -> Tensor:
    """What torch.nn.functional.leaky_relu computes."""
    ones = torch.ones((), dtype=input.dtype, device=input.device)
    slopes = torch.where(input.detach() > 0, ones, negative_slope)
    return input.mul_(slopes) if inplace else input * slopes


def leaky_relu_(input: Tensor, negative_slope: float = 0.01) -> Tensor:
    """What torch.nn.functional.leaky_relu_ computes."""
    return leaky_relu(input, negative_slope, True)


def relu(input: Tensor, inplace: bool = False) -> Tensor:
    """What torch.nn.functional.relu computes."""
    return leaky_relu(input, 0.0, inplace)


def relu_(input: Tensor) -> Tensor:
    """What torch.relu_ computes."""
    return leaky_relu(input, 0.0, True)


PRODUCTS: dict[Any, Callable[..., Tensor]] = {
    functional.leaky_relu: leaky_relu,
    functional.leaky_relu_: leaky_relu_,
    functional.relu: relu,
    torch.relu: relu,
    torch.relu_: relu_,
    Tensor.relu: relu,
    Tensor.relu_: relu_,
}
