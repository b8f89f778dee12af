"""`FrozenPyramid`: the feature maps of a frozen backbone, computed by a copy that is made for speed.

The copy has its BatchNorm layers folded into the convolutions, whose weights have the precision of autocast,
and each ReLU as a part of the convolution before it (`frozen_convolution.py`).

N batch, C channels, H, W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from gantl_zoo.networks.frozen_convolution import PLAIN, FrozenConv2d, is_depthwise


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
        # NaN for images with NaN or infinity: the limits of the fast convolutions would hide them
        valid = images.detach().sum((1, 2, 3), keepdim=True) * 0  # (N, 1, 1, 1)
        return [features + valid.to(features.dtype) for features in maps]

    def __deepcopy__(self, memo: dict[int, Any]) -> FrozenPyramid:
        return FrozenPyramid(copy.deepcopy(self.backbone, memo))


def fast_copy(backbone: Any, images: Tensor, dtype: torch.dtype | None) -> Any:
    """A copy of the backbone in eval mode, with folded BatchNorm and `FrozenConv2d`; see the module.

    Its convolutions have weights in `dtype`, if that is not None.
    """
    with torch.inference_mode(False), torch.no_grad(), torch.autocast(images.device.type, enabled=False):
        # on a CPU, whose products have all digits of float32
        network = copy.deepcopy(backbone).eval().requires_grad_(False).cpu()
        shape, random = (1, *images.shape[1:]), torch.Generator().manual_seed(0)
        one = torch.rand(shape, generator=random, device="cpu") * 2 - 1
        for rewrite in (fold_norms, replace_convolutions):
            rewritten = copy.deepcopy(network)
            rewrite(rewritten, one)
            if agree(network.pyramid(one), rewritten.pyramid(one)):  # a result may be used elsewhere, too
                network = rewritten
        for module in network.modules():
            if type(module).__name__ in (*PLAIN, "FrozenConv2d"):
                module.to(dtype)
        return network.to(images.device, memory_format=torch.channels_last)


def agree(maps: list[Tensor], others: list[Tensor]) -> bool:
    """Whether all maps (N, K, h, w) are equal up to rounding."""
    return all((one - other).norm() <= 1e-3 * one.norm() for one, other in zip(maps, others, strict=True))


def fold_norms(network: Any, images: Tensor) -> None:
    """Fold each BatchNorm that directly follows a convolution into it, in place.

    A BatchNorm with an activation, as in timm, leaves the activation.
    """
    for conv, norm in followed(network, images, lambda module: isinstance(module, nn.BatchNorm2d)):
        replace(network, conv, fuse_conv_bn_eval(conv, norm))
        replace(network, norm, getattr(norm, "act", None) or nn.Identity())


def replace_convolutions(network: Any, images: Tensor) -> None:
    """Replace convolutions that a ReLU or ReLU6 directly follows, and depthwise ones, in place."""
    pairs = followed(network, images, lambda module: type(module) in (nn.ReLU, nn.ReLU6))
    behind = {id(conv): act for conv, act in pairs}
    for conv in [module for module in network.modules() if isinstance(module, nn.Conv2d)]:
        act = behind.get(id(conv))
        if FrozenConv2d.suits(conv) and (act is not None or is_depthwise(conv.weight, conv.groups)):
            most = None if act is None else 6.0 if isinstance(act, nn.ReLU6) else math.inf
            replace(network, conv, FrozenConv2d(conv, most))
            if act is not None:
                replace(network, act, nn.Identity())


def followed(network: Any, images: Tensor, suits: Callable[[nn.Module], bool]) -> list[tuple[nn.Conv2d, Any]]:
    """The convolutions whose result is the input of a module that `suits`, with that module.

    A pass of `images` shows which these are. Modules that it calls more than once are left out.
    """
    # with the tensors, so that no id is used twice, and with their versions, which a shortcut's `+=` changes
    outputs: dict[int, tuple[nn.Conv2d, Tensor, int]] = {}
    pairs: list[tuple[nn.Conv2d, Any]] = []
    calls: Counter[int] = Counter()

    def after(conv: Any, inputs: Any, output: Tensor) -> None:
        outputs[id(output)] = (conv, output, output._version)
        calls[id(conv)] += 1

    def before(module: Any, inputs: Any) -> None:
        calls[id(module)] += 1
        conv, output, version = outputs.pop(id(inputs[0]), (None, inputs[0], 0))
        if conv is not None and output._version == version:
            pairs.append((conv, module))

    modules = [*network.modules()]
    hooks = [m.register_forward_hook(after) for m in modules if isinstance(m, nn.Conv2d)]
    hooks += [m.register_forward_pre_hook(before) for m in modules if suits(m)]
    network.pyramid(images)
    for hook in hooks:
        hook.remove()
    return [pair for pair in pairs if all(calls[id(module)] == 1 for module in pair)]


def replace(network: nn.Module, old: nn.Module, new: nn.Module) -> None:
    """Put `new` in the place of the submodule `old`."""
    for module in network.modules():
        for name, child in module.named_children():
            if child is old:
                setattr(module, name, new)
