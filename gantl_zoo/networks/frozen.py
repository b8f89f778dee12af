"""`FrozenPyramid`: the feature maps of a frozen backbone, computed by a copy that is made for speed.

The copy has its BatchNorm layers folded into the convolutions, whose weights have the precision of autocast,
and depthwise convolutions whose gradient is again a depthwise convolution: on a CPU, PyTorch's own gradient
is several times as slow in bfloat16.

N batch, C channels, H, W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

# layers that use their weight as it is; others, such as timm's StdConv2d, compute with it first
PLAIN = ("Conv2d", "Conv2dSame")


class FrozenPyramid:
    """Maps images (N, C, H, W) in [-1, 1] to the feature maps of a frozen backbone, fine to coarse.

    The maps equal those of `backbone.pyramid` up to rounding. A copy is built at the first call, one for each
    precision of autocast, and again after the backbone's weights or their device have changed.
    """

    def __init__(self, backbone: Any) -> None:
        self.backbone = backbone
        self.copies: dict[torch.dtype | None, Any] = {}  # None: without autocast
        self.state: tuple[Any, ...] = ()

    def __call__(self, images: Tensor) -> list[Tensor]:
        tensors, device = [*self.backbone.parameters(), *self.backbone.buffers()], images.device.type
        state = (images.device, sum(0 if t.is_inference() else t._version for t in tensors))
        if state != self.state:
            self.copies, self.state = {}, state
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else None
        if dtype not in self.copies:
            self.copies[dtype] = fast_copy(self.backbone, images, dtype)
        maps: list[Tensor] = self.copies[dtype].pyramid(images)
        return maps

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenPyramid:
        return FrozenPyramid(copy.deepcopy(self.backbone, memo))


def fast_copy(backbone: Any, images: Tensor, dtype: torch.dtype | None) -> Any:
    """A copy of the backbone in eval mode, with folded BatchNorm and `DepthwiseConv2d`; see the module.

    Its convolutions have weights in `dtype`, if that is not None.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        network = copy.deepcopy(backbone).eval().requires_grad_(False)
        network.to(images.device)
        fold_norms(network, images[:1].detach().float())
        replace_layers(network)
        for module in network.modules():
            if type(module).__name__ in (*PLAIN, "DepthwiseConv2d"):
                module.to(dtype)
        return network.to(memory_format=torch.channels_last)


def fold_norms(network: Any, images: Tensor) -> None:
    """Fold each BatchNorm that directly follows a convolution into it, in place.

    Which ones do is found by a pass of `images`. A BatchNorm with an activation, as in timm, leaves the
    activation.
    """
    outputs: dict[int, tuple[nn.Conv2d, Tensor]] = {}  # holds the tensors, so that no id is used twice
    pairs: list[tuple[nn.Conv2d, nn.BatchNorm2d]] = []

    def after(conv: Any, inputs: Any, output: Tensor) -> None:
        outputs[id(output)] = (conv, output)

    def before(norm: Any, inputs: Any) -> None:
        if id(inputs[0]) in outputs:
            pairs.append((outputs.pop(id(inputs[0]))[0], norm))

    hooks = [m.register_forward_hook(after) for m in network.modules() if isinstance(m, nn.Conv2d)]
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    hooks += [m.register_forward_pre_hook(before) for m in norms]
    network.pyramid(images)
    for hook in hooks:
        hook.remove()
    once = {id(conv) for conv, _ in pairs if sum(conv is other for other, _ in pairs) == 1}
    for conv, norm in pairs:
        if id(conv) in once:
            replace(network, conv, fuse_conv_bn_eval(conv, norm))
            replace(network, norm, getattr(norm, "act", None) or nn.Identity())


def replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in the place of the submodule `old`."""
    for module in network.modules():
        for name, child in module.named_children():
            if child is old:
                setattr(module, name, new)


def replace_layers(network: nn.Module) -> None:
    """Replace depthwise convolutions by `DepthwiseConv2d`, and each ReLU6 that overwrites its input by
    `InPlaceReLU6`.
    """
    for name, child in network.named_children():
        if isinstance(child, nn.Conv2d) and child.groups == child.in_channels == child.out_channels > 1:
            if DepthwiseConv2d.suits(child):
                setattr(network, name, DepthwiseConv2d(child))
        elif isinstance(child, nn.ReLU6) and child.inplace:
            setattr(network, name, InPlaceReLU6())
        else:
            replace_layers(child)


class InPlaceReLU6(nn.Module):
    """ReLU6 that overwrites its input. For the gradient PyTorch's own one copies the input before."""

    def forward(self, features: Tensor) -> Tensor:
        result: Tensor = _ReLU6.apply(features)
        return result


class _ReLU6(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, features: Tensor) -> Tensor:
        result = features.clamp_(0, 6)
        ctx.mark_dirty(result)
        ctx.save_for_backward(result)
        return result

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        result: Tensor = torch.ops.aten.hardtanh_backward(gradient, *ctx.saved_tensors, 0, 6)
        return result


class DepthwiseConv2d(nn.Module):
    """A frozen depthwise convolution with square kernels, whose gradient is a depthwise convolution."""

    def __init__(self, conv: nn.Conv2d) -> None:
        super().__init__()
        self.weight, self.bias = conv.weight, conv.bias
        self.kernel, self.stride = int(conv.kernel_size[0]), int(conv.stride[0])
        self.same = type(conv).__name__ == "Conv2dSame"  # timm's padding as in TensorFlow
        self.padding = 0 if self.same else int(conv.padding[0])

    @staticmethod
    def suits(conv: nn.Conv2d) -> bool:
        """Whether kernel, stride and padding are square numbers, without dilation."""
        pairs = [conv.kernel_size, conv.stride, conv.dilation]
        square = all(pair[0] == pair[1] for pair in pairs) and conv.dilation[0] == 1
        plain = type(conv).__name__ in PLAIN and conv.padding_mode == "zeros"
        padding = conv.padding
        return square and plain and not isinstance(padding, str) and padding[0] == padding[1]

    def forward(self, features: Tensor) -> Tensor:
        if self.same:
            features = functional.pad(features, same_padding(features.shape, self.kernel, self.stride))
        weight, bias = self.weight, self.bias
        if torch.is_autocast_enabled(features.device.type):
            features = features.to(torch.get_autocast_dtype(features.device.type))
        weight = weight.to(features.dtype)
        bias = None if bias is None else bias.to(features.dtype)
        result: Tensor = _Depthwise.apply(features, weight, bias, self.stride, self.padding)
        return result


def same_padding(shape: torch.Size, kernel: int, stride: int) -> tuple[int, int, int, int]:
    """TensorFlow's "SAME" padding of a map (N, K, h, w): left, right, top, bottom."""
    height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in shape[-2:])
    return width // 2, width - width // 2, height // 2, height - height // 2


class _Depthwise(torch.autograd.Function):
    """conv2d with one kernel per channel. Its gradient is the depthwise convolution of the output's gradient,
    spread by the stride, with the mirrored kernels.
    """

    @staticmethod
    def forward(
        ctx: Any, features: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.padding, ctx.shape = stride, padding, features.shape
        return functional.conv2d(features, weight, bias, stride, padding, groups=features.shape[1])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        kernel, stride, padding = weight.shape[-1], ctx.stride, ctx.padding
        if stride > 1:  # (N, K, h', w') -> (N, K, h + 2·padding - kernel + 1, …), zeros between
            height, width = (side + 2 * padding - kernel + 1 for side in ctx.shape[-2:])
            spread = gradient.new_zeros(len(gradient), height, width, weight.shape[0]).permute(0, 3, 1, 2)
            spread[:, :, ::stride, ::stride] = gradient
            gradient = spread
        mirrored = weight.flip(2, 3).to(gradient.dtype)
        groups = weight.shape[0]
        return (
            functional.conv2d(gradient, mirrored, padding=kernel - 1 - padding, groups=groups),
            None,
            None,
            None,
            None,
        )
