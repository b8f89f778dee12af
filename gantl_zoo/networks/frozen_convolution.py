"""`FrozenConv2d`: a convolution whose weights don't change, and the ReLU behind it, in one operation.

N batch, K channels of a map h × w.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

# layers that use their weight as it is; others, such as timm's StdConv2d, compute with it first
PLAIN = ("Conv2d", "Conv2dSame")
HALF = (torch.bfloat16, torch.float16)


class How(NamedTuple):
    """A convolution: its stride, its padding (None: TensorFlow's "SAME"), its groups, and what its results
    are limited to: 0 to `most`, or not at all (None).
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
        """Whether kernel, stride and padding are equal in both directions, the padding is narrower than the
        kernel, and there is no dilation.
        """
        if type(conv).__name__ not in PLAIN or isinstance(conv.padding, str) or conv.padding_mode != "zeros":
            return False
        pairs = conv.kernel_size, conv.stride, conv.padding, conv.dilation
        square = all(pair[0] == pair[1] for pair in pairs) and conv.dilation[0] == 1
        return square and conv.padding[0] < conv.kernel_size[0]

    def forward(self, features: Tensor) -> Tensor:
        """Maps (N, K, h, w) to maps (N, K', h', w'), in the precision of autocast if that is on."""
        device = features.device.type
        if torch.is_autocast_enabled(device):
            features = features.to(torch.get_autocast_dtype(device))
        weight = self.weight.to(features.dtype)
        bias = None if self.bias is None else self.bias.to(features.dtype)
        result: Tensor = _Frozen.apply(features, weight, bias, self.how)
        return result


class _Frozen(torch.autograd.Function):
    """The convolution as a function of its input, differentiable any number of times."""

    @staticmethod
    def forward(ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, how: How) -> Tensor:
        ctx.how, ctx.size, ctx.around = how, features.shape[-2:], around(features, weight, how)
        (top, bottom), (left, right) = ctx.around
        if top < bottom or left < right:
            weight = functional.pad(weight, (right - left, 0, bottom - top, 0))
        result = convolved(features, weight, bias, (bottom, right), how)
        # torch's gradient of a depthwise convolution is fast on CPUs, except in half precision; other devices
        # were not measured
        fast = features.device.type == "cpu" and features.dtype not in HALF
        kept = features if fast or not is_depthwise(weight, how.groups) else None
        ctx.save_for_backward(weight, kept, None if how.most is None else result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        weight, features, result = ctx.saved_tensors
        how, ((top, bottom), (left, right)) = ctx.how, ctx.around
        again = torch.is_grad_enabled()  # whether this gradient is to be differentiated
        if result is not None:
            # detached, because the second derivative of ReLU is 0
            gradient = torch.ops.aten.hardtanh_backward(gradient, result.detach(), 0, how.most)
        if features is None or (again and is_depthwise(weight, how.groups)):
            kernel = weight[:, :, bottom - top :, right - left :]
            return depthwise_gradient(gradient, kernel, how.stride, ctx.around, ctx.size), None, None, None
        padding = [bottom, right]
        if again:  # the derivative of this call is a convolution; torch computes that of the other by groups
            sides = zip(ctx.size, gradient.shape[-2:], weight.shape[-2:], padding, strict=True)
            rest = [side + 2 * p - k - (out - 1) * how.stride for side, out, k, p in sides]
            result = functional.conv_transpose2d(
                gradient, weight, None, how.stride, padding, rest, how.groups
            )
            return result, None, None, None
        of_features: Tensor = torch.ops.aten.convolution_backward(
            gradient, features, weight, None, [how.stride] * 2, padding, [1, 1], False, [0, 0], how.groups,
            [True, False, False],
        )[0]  # fmt: skip
        return of_features, None, None, None


Around = tuple[tuple[int, int], tuple[int, int]]  # rows of zeros above and below, columns left and right


def around(features: Tensor, weight: Tensor, how: How) -> Around:
    """The zeros around maps (N, K, h, w)."""
    if how.padding is not None:
        return (how.padding, how.padding), (how.padding, how.padding)

    def same(side: int, kernel: int) -> tuple[int, int]:
        zeros = max((-(-side // how.stride) - 1) * how.stride + kernel - side, 0)
        return zeros // 2, zeros - zeros // 2

    height, width = map(same, features.shape[-2:], weight.shape[-2:])
    return height, width


def is_depthwise(weight: Tensor, groups: int) -> bool:
    """Whether a weight (K, 1, k, k) makes each channel from one channel of its own."""
    return groups == weight.shape[0] > 1 == weight.shape[1]


def convolved(
    features: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], how: How
) -> Tensor:
    """Maps (N, K', h', w') of maps (N, K, h, w), limited as `how` says.

    `padding`: rows of zeros above and below, columns of zeros left and right.
    """
    if how.most is not None and limits_itself(features):
        return limited(features, weight, bias, padding, how)
    result = functional.conv2d(features, weight, bias, how.stride, padding, 1, how.groups)
    return result if how.most is None else result.clamp_(0, how.most)


def limited(
    features: Tensor, weight: Tensor, bias: Tensor | None, padding: tuple[int, int], how: How
) -> Tensor:
    """What `convolved` computes, by oneDNN: it limits results while it writes them, and makes 0 of NaN."""
    operator: Any = torch.ops.mkldnn._convolution_pointwise.default
    limits, steps = [0.0, how.most], [how.stride] * 2
    result: Tensor = operator(
        features, weight, bias, [*padding], steps, [1, 1], how.groups, "hardtanh", limits, ""
    )
    return result


def limits_itself(features: Tensor) -> bool:
    """Whether `limited` can compute the convolution of these maps (N, K, h, w)."""
    mkldnn: Any = torch.backends.mkldnn
    usable = features.device.type == "cpu" and mkldnn.is_available() and mkldnn.enabled and features.numel()
    return bool(usable) and is_limited_well(features.dtype)


@functools.cache
@torch.inference_mode(False)
@torch.no_grad()
def is_limited_well(dtype: torch.dtype) -> bool:
    """Whether this build of torch and this processor have the operator, and it does what is expected."""
    if dtype not in (torch.float32, torch.bfloat16):
        return False
    features, weight = torch.linspace(-4, 4, 32).view(1, 2, 4, 4).to(dtype), torch.ones(2, 1, 1, 1).to(dtype)
    try:
        result = limited(features, weight, None, (0, 0), How(1, 0, 2, 2.0))
    except (AttributeError, RuntimeError, TypeError):
        return False
    return torch.equal(result, features.clamp(0, 2))


def depthwise_gradient(
    gradient: Tensor, weight: Tensor, stride: int, zeros: Around, size: torch.Size
) -> Tensor:
    """The gradient (N, K, h, w) of the input of a depthwise convolution, from that of its output.

    It is a depthwise convolution, too: of the output's gradient, spread by the stride, with the mirrored
    kernels. In half precision torch's gradient is several times as slow. `size` is (h, w).
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
