"""`FrozenPyramid`: the same feature maps and gradients as the backbone's own, from a faster copy."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
import torch
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.frozen_convolution import FrozenConv2d, limits_itself

NAMES = ("timm:mobilenetv2_035", "timm:tf_efficientnet_lite0", "timm:mobilenetv3_small_050", "timm:resnet10t")


def timm_layers() -> Any:
    return pytest.importorskip("timm.layers")


def randomised(name: str) -> Any:
    """A backbone with random weights whose BatchNorm layers do something."""
    torch.manual_seed(0)
    backbone = gz.backbones.build(name, pretrained=False, resize=64, num_classes=2).eval()
    for module in backbone.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.weight, 0.5, 1.5), nn.init.normal_(module.bias, std=0.1)
            nn.init.uniform_(module.running_var, 0.5, 1.5), nn.init.normal_(module.running_mean, std=0.1)
    return backbone.requires_grad_(False).double()


@pytest.mark.parametrize("name", NAMES)
def test_the_copy_has_the_same_maps_and_gradients(name: str) -> None:
    backbone = randomised(name)
    frozen = FrozenPyramid(backbone)
    images = (torch.rand(2, 3, 32, 32, dtype=torch.double) * 2 - 1).requires_grad_()
    own, copied = backbone.pyramid(images), frozen(images)
    torch.testing.assert_close(copied, own)
    weights = [torch.randn_like(features) for features in own]
    gradients = [
        torch.autograd.grad(sum((f * w).sum() for f, w in zip(maps, weights, strict=True)), images)[0]
        for maps in (own, copied)
    ]
    torch.testing.assert_close(*gradients)
    norms = [m for m in frozen.copies[None].modules() if isinstance(m, nn.BatchNorm2d)]
    unused = [m for m in backbone.modules() if isinstance(m, nn.BatchNorm2d)]
    assert len(norms) < len(unused) / 3, "nearly all are folded; those after the last map are never called"


CONVS = {
    "depthwise": nn.Conv2d(4, 4, 3, padding=1, groups=4),
    "depthwise, stride": nn.Conv2d(4, 4, 5, 2, 2, groups=4),
    "depthwise, no padding": nn.Conv2d(4, 4, 5, groups=4),
    "depthwise, as TensorFlow": timm_layers().Conv2dSame(4, 4, 3, 2, groups=4),
    "depthwise, large, as TensorFlow": timm_layers().Conv2dSame(4, 4, 5, 2, groups=4, bias=False),
    "dense": nn.Conv2d(4, 6, 1),
    "dense, groups": nn.Conv2d(4, 6, 3, 2, 1, groups=2, bias=False),
    "dense, as TensorFlow": timm_layers().Conv2dSame(4, 6, 3, 2),
}


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize("most", [None, 0.5, math.inf])
@pytest.mark.parametrize("kind", CONVS)
def test_a_frozen_convolution_has_the_gradients_of_conv2d_and_relu(
    kind: str, most: float | None, side: int
) -> None:
    conv = copy.deepcopy(CONVS[kind]).double().requires_grad_(False)
    frozen = FrozenConv2d(conv, most)
    images = torch.randn(2, 4, side, side, dtype=torch.double, requires_grad=True)
    limits = (-math.inf, math.inf) if most is None else (0, most)
    torch.testing.assert_close(frozen(images), conv(images).clamp(*limits))
    assert torch.autograd.gradcheck(frozen, images)
    assert torch.autograd.gradgradcheck(frozen, images)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("most", [None, 6.0, math.inf])
@pytest.mark.parametrize("kind", CONVS)
def test_single_and_half_precision_agree_with_conv2d(
    kind: str, most: float | None, dtype: torch.dtype
) -> None:
    """Both have paths of their own: limits inside of the convolution, and depthwise gradients in half."""
    conv = copy.deepcopy(CONVS[kind]).requires_grad_(False)
    torch.manual_seed(0)
    images = (torch.randn(2, 4, 8, 8) * 3).contiguous(memory_format=torch.channels_last)
    results = []
    frozen = FrozenConv2d(copy.deepcopy(conv), most).to(dtype)
    for network, kind_of in ((conv, torch.float32), (frozen, dtype)):
        inputs = images.to(kind_of).requires_grad_()
        features = network(inputs)
        if most is not None and network is conv:
            features = features.clamp(0, most)
        (gradient,) = torch.autograd.grad((features.float() ** 2).sum(), inputs)
        results.append((features.float(), gradient.float()))
    error = 1e-5 if dtype == torch.float32 else 0.1  # half precision has some values beyond the other limit
    for own, fast in zip(*results, strict=True):
        assert (own - fast).norm() <= error * own.norm()


def test_limits_are_part_of_the_convolution_on_cpus() -> None:
    assert limits_itself(torch.zeros(1, 1, 2, 2)) == torch.backends.mkldnn.is_available()  # type: ignore[no-untyped-call]
    assert not limits_itself(torch.zeros(1, 1, 2, 2, dtype=torch.double))


def test_a_sum_before_the_relu_is_kept() -> None:
    """`x += shortcut` changes the convolution's own result: the ReLU behind it doesn't follow directly."""

    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
            self.act, self.last = nn.ReLU(), nn.ReLU()

        def pyramid(self, images: Tensor) -> list[Tensor]:
            hidden = self.second(self.act(self.first(images)))
            hidden += images
            return [self.last(hidden)]

    block, images = Block().eval().requires_grad_(False), torch.randn(2, 3, 4, 4)
    frozen = FrozenPyramid(block)
    torch.testing.assert_close(frozen(images), block.pyramid(images))
    kinds = [type(module).__name__ for module in frozen.copies[None].children()]
    assert kinds == ["FrozenConv2d", "Conv2d", "Identity", "ReLU"]


def test_under_autocast_weights_are_converted_once_and_values_stay() -> None:
    backbone = randomised(NAMES[1]).float()
    frozen, images = FrozenPyramid(backbone), torch.rand(2, 3, 32, 32) * 2 - 1
    own = backbone.pyramid(images)
    with torch.autocast("cpu", torch.bfloat16):
        for expected, features in zip(own, frozen(images), strict=True):
            assert features.dtype == torch.bfloat16
            assert (features - expected).abs().mean() < 0.05 * expected.abs().mean()
    assert frozen.copies[torch.bfloat16].network.conv_stem.weight.dtype == torch.bfloat16
    torch.testing.assert_close(frozen(images), own, atol=1e-3, rtol=1e-3)


def test_the_copy_follows_new_weights_and_leaves_the_backbone_alone() -> None:
    backbone = randomised(NAMES[0])
    before = copy.deepcopy(backbone.state_dict())
    frozen, images = FrozenPyramid(backbone), torch.rand(1, 3, 32, 32, dtype=torch.double)
    with torch.inference_mode():  # as the health checks call it first
        frozen(images)
    assert all(torch.equal(tensor, before[name]) for name, tensor in backbone.state_dict().items())
    assert frozen(images.requires_grad_())[0].requires_grad
    with torch.no_grad():
        backbone.network.conv_stem.weight.mul_(2)
    torch.testing.assert_close(frozen(images), backbone.pyramid(images))
    other = copy.deepcopy(frozen)
    assert other.backbone is not backbone
    torch.testing.assert_close(other(images), frozen(images))
