"""`WeightGradients`: convolutions with small feature maps have a faster weight gradient.

It is that of `convolution.py`. Its windows take memory, so large maps are left to oneDNN.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gantl_zoo.training.convolution import Convolution, Geometry

MOST_POSITIONS = 64  # of the smaller feature map
FEWEST_CHANNELS = 32  # of either


class WeightGradients(TorchFunctionMode):
    """Context: convolutions in autocast's precision have this weight gradient if their maps are small."""

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
            if call.suits():
                dtype, (inputs, weight, bias) = torch.get_autocast_dtype("cpu"), call.tensors
                converted = (inputs.to(dtype), weight.to(dtype), bias if bias is None else bias.to(dtype))
                return Convolution.apply(*converted, call.form)
        return func(*args, **settings)


@dataclass(frozen=True)
class Call:
    """The tensors of a call of a convolution, and its geometry, if there is a matrix product for it."""

    tensors: tuple[Tensor, Tensor, Tensor | None]
    form: Geometry | None

    def suits(self) -> bool:
        """Whether a matrix product is faster than oneDNN for the weight gradient."""
        inputs, weight, _ = self.tensors
        if self.form is None or weight.dtype != torch.float32 or not weight.requires_grad:
            return False
        height, width = self.form.small(*inputs.shape[2:])
        return height * width <= MOST_POSITIONS and min(weight.shape[:2]) >= FEWEST_CHANNELS


def conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call:
    """A call with the parameters of torch.conv2d."""
    form = geometry(input, weight, groups, stride=stride, padding=padding, dilation=dilation)
    return Call((input, weight, bias), form)


def conv_transpose2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: int = 1,
    dilation: Any = 1,
) -> Call:
    """A call with the parameters of torch.conv_transpose2d."""
    sizes = {"stride": stride, "padding": padding, "dilation": dilation, "output_padding": output_padding}
    return Call((input, weight, bias), geometry(input, weight, groups, transposed=True, **sizes))


CALLS: dict[Any, Callable[..., Call]] = {
    torch.conv2d: conv2d,
    torch.conv_transpose2d: conv_transpose2d,
}


def geometry(
    inputs: Tensor, weight: Tensor, groups: int, *, dilation: Any, transposed: bool = False, **sizes: Any
) -> Geometry | None:
    """The geometry of a convolution, or None if it has groups or dilation, or differs in height and width."""
    kernel, words = tuple(weight.shape[2:]), [dilation, *sizes.values()]
    if groups != 1 or inputs.dim() != 4 or kernel == (1, 1) or any(isinstance(one, str) for one in words):
        return None
    spread, *pairs = ((one, one) if isinstance(one, int) else tuple(one) for one in words)
    if any(len(set(pair)) > 1 for pair in (kernel, *pairs)) or set(spread) != {1}:
        return None
    values = {name: pair[0] for name, pair in zip(sizes, pairs, strict=True)}
    return Geometry(kernel[0], transposed=transposed, **values)
