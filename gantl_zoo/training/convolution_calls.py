"""The calls of torch's convolutions that `Convolution` can stand in for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor, conv2d, conv_transpose2d

from gantl_zoo.training.convolution import Convolution
from gantl_zoo.training.convolution_geometry import Geometry


@dataclass(frozen=True)
class Call:
    """The tensors of a call, and its geometry.

    The geometry is None if `Convolution` can't stand in: dilation, padding as a word, no batch, or a height
    that differs from the width.
    """

    inputs: Tensor
    weight: Tensor
    bias: Tensor | None
    form: Geometry | None

    def replaced(self) -> Tensor:
        """The result, computed by `Convolution`."""
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
    """The geometry of a call; None if `Convolution` can't stand in."""
    values = {"dilation": dilation} | sizes
    if inputs.dim() != 4 or any(isinstance(value, str) for value in values.values()):
        return None
    pairs = {name: (value, value) if isinstance(value, int) else value for name, value in values.items()}
    if any(len(set(pair)) > 1 for pair in (inputs.shape[2:], weight.shape[2:], *pairs.values())):
        return None
    values = {name: pair[0] for name, pair in pairs.items()}
    if values.pop("dilation") != 1:
        return None
    return Geometry(weight.shape[2], **values, **settings)
