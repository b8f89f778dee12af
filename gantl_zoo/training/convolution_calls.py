"""The calls of torch's convolutions that `Convolution` can stand in for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, conv2d, conv_transpose2d

from gantl_zoo.training.convolution import Convolution, Geometry


@dataclass(frozen=True)
class Call:
    """The tensors of a call, and its geometry; None if it has dilation, or differs in height and width."""

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    form: Geometry | None

    def replaced(self) -> Tensor:
        """What `Convolution` makes of it."""
        result: Tensor = Convolution.apply(self.inputs, self.weight, self.bias, self.form)
        return result


def call_of_conv2d(
    input: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    stride: Any = 1,
    padding: Any = 0,
    dilation: Any = 1,
    groups: int = 1,
) -> Call:
    """A call with the parameters of torch.conv2d."""
    sizes = {"stride": stride, "padding": padding}
    return Call(input, weight, bias, geometry(input, weight, dilation, sizes, groups=groups))


def call_of_conv_transpose2d(
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
    sizes = {"stride": stride, "padding": padding, "output_padding": output_padding}
    form = geometry(input, weight, dilation, sizes, groups=groups, transposed=True)
    return Call(input, weight, bias, form)


CALLS: dict[Any, Callable[..., Call]] = {
    conv2d: call_of_conv2d,
    conv_transpose2d: call_of_conv_transpose2d,
}


def geometry(
    inputs: Tensor, weight: Tensor, dilation: Any, sizes: dict[str, Any], **settings: Any
) -> Geometry | None:
    """The geometry of a call; None if it has dilation, or differs in height and width."""
    words = [dilation, *sizes.values()]
    if inputs.dim() != 4 or any(isinstance(one, str) for one in words):
        return None
    spread, *pairs = ((one, one) if isinstance(one, int) else tuple(one) for one in words)
    if any(len(set(pair)) > 1 for pair in (weight.shape[2:], *pairs)) or set(spread) != {1}:
        return None
    values = {name: pair[0] for name, pair in zip(sizes, pairs, strict=True)}
    return Geometry(weight.shape[2], **values, **settings)
