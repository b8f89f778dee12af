"""`FrozenConv2d`: a convolution whose weights don't change, and the ReLU behind it, in one operation.

N batch, K channels of a map h × w.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# layers that use their weight as it is; others, such as timm's StdConv2d, compute with it first
PLAIN = ("Conv2d", "Conv2dSame")
HALF = (torch.bfloat16, torch.float16)


class How(NamedTuple):
    """A convolution with square kernels: its stride, its padding (None: TensorFlow's "SAME"), its groups, and
    what its results are limited to: 0 to `most`, or not at all.
    """

    stride: int
    padding: int | None
    groups: int
    most: float | None


class FrozenConv2d(nn.Module):
    """A frozen convolution, followed by ReLU (`most` is infinite), ReLU6 or nothing (None).

    On a CPU the limits are part of the convolution. Padding as in TensorFlow, with more zeros behind than in
    front, becomes even padding: the kernel gets zeros in front.
    """

    def __init__(self, conv: nn.Conv2d, most: float | None = None) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        padding = None if type(conv).__name__ == "Conv2dSame" else int(conv.padding[0])
        self.how = How(int(conv.stride[0]), padding, conv.groups, most)

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Whether kernel, stride and padding are square numbers, without dilation."""
        if type(conv).__name__ not in PLAIN or isinstance(conv.padding, str) or conv.padding_mode != "zeros":
            return False
        pairs = conv.kernel_size, conv.stride, conv.padding, conv.dilation
        square = all(pair[0] == pair[1] for pair in pairs) and conv.dilation[0] == 1
        return square and conv.padding[0] < conv.kernel_size[0]

    def forward(self, features: Tensor) -> Tensor:
        device = features.device.type
        if torch.is_autocast_enabled(device):
            features = features.to(torch.get_autocast_dtype(device))
        weight = self.weight.to(features.dtype)
        bias = None if self.bias is None else self.bias.to(features.dtype)
        result: Tensor = _Frozen.apply(features, weight, bias, self.how)
        return result


class _Frozen(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, how: How) -> Tensor:
        ctx.how, ctx.size, ctx.around = how, features.shape[-2:], around(features, weight, how)
        (top, bottom), (left, right) = ctx.around
        if top < bottom or left < right:
            weight = functional.pad(weight, (right - left, 0, bottom - top, 0))
        result = convolved(features, weight, bias, (bottom, right), how)
        own = is_depthwise(weight, how) and weight.dtype in HALF and features.device.type == "cpu"
        ctx.save_for_backward(weight, None if own else features, None if how.most is None else result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, features, result = ctx.saved_tensors
        how, ((top, bottom), (left, right)) = ctx.how, ctx.around
        if result is not None:
            gradient = torch.ops.aten.hardtanh_backward(gradient, result, 0, how.most)
        if features is None:
            kernel = weight[:, :, bottom - top :, right - left :]
            return depthwise_gradient(gradient, kernel, how.stride, ctx.around, ctx.size), None, None, None
        steps, padding = [how.stride] * 2, [bottom, right]
        of_features: Tensor = torch.ops.aten.convolution_backward(
            gradient, features, weight, None, steps, padding, [1, 1], False, [0, 0], how.groups,
            [True, False, False],
        )[0]  # fmt: skip
        return of_features, None, None, None


Around = tuple[tuple[int, int], tuple[int, int]]


def around(features: Tensor, weight: Tensor, how: How) -> Around:
    """The zeros around a map (N, K, h, w): above and below, left and right."""
    if how.padding is not None:
        return (how.padding, how.padding), (how.padding, how.padding)

    def same(side: int, kernel: int) -> tuple[int, int]:
        zeros = max((-(-side // how.stride) - 1) * how.stride + kernel - side, 0)
        return zeros // 2, zeros - zeros // 2

    height, width = map(same, features.shape[-2:], weight.shape[-2:])
    return height, width


def is_depthwise(weight: Tensor, how: How) -> bool:
    """Whether each channel of the result (K, 1, k, k) comes from one channel of its own."""
    return how.groups == weight.shape[0] > 1 == weight.shape[1]


def convolved(
    features: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], how: How
) -> Tensor:
    """The convolution, limited to 0 to `how.most`."""
    if how.most is None:
        return functional.conv2d(features, weight, bias, how.stride, padding, 1, how.groups)
    if not limits_itself(features):
        result = functional.conv2d(features, weight, bias, how.stride, padding, 1, how.groups)
        return result.clamp_(0, how.most)
    limited: Tensor = torch.ops.mkldnn._convolution_pointwise(
        features,
        weight,
        bias,
        [*padding],
        [how.stride] * 2,
        [1, 1],
        how.groups,
        "hardtanh",
        [0.0, how.most],
        "",
    )
    return limited


def limits_itself(features: Tensor) -> bool:
    """Whether oneDNN computes this convolution, which then limits the results while it writes them."""
    mkldnn: Any = torch.backends.mkldnn
    if features.device.type != "cpu" or not (mkldnn.is_available() and mkldnn.enabled):
        return False
    operators = torch.ops.mkldnn
    if not hasattr(operators, "_convolution_pointwise") or not features.numel():
        return False
    if features.dtype == torch.bfloat16:
        return bool(operators._is_mkldnn_bf16_supported())
    return features.dtype == torch.float32


def depthwise_gradient(
    gradient: Tensor, weight: Tensor, stride: int, zeros: Around, size: torch.Size
) -> Tensor:
    """The gradient of the input of a depthwise convolution, which is one, too: of the output's gradient,
    spread by the stride, with the mirrored kernels. PyTorch's own is several times as slow in half precision.
    """
    kernel = weight.shape[-1]
    rest = [[kernel - 1 - number for number in pair] for pair in zeros]  # zeros around the spread gradient
    padding = [min(pair) for pair in rest]
    (top, _), (left, _) = rest
    height, width = (side - 2 * even + kernel - 1 for side, even in zip(size, padding, strict=True))
    if gradient.shape[-2:] != (height, width):
        spread = gradient.new_zeros(len(gradient), height, width, weight.shape[0]).permute(0, 3, 1, 2)
        places = spread[:, :, top - padding[0] :: stride, left - padding[1] :: stride]
        places[:, :, : gradient.shape[2], : gradient.shape[3]] = gradient
        gradient = spread
    return functional.conv2d(gradient, weight.flip(2, 3), padding=padding, groups=weight.shape[0])
