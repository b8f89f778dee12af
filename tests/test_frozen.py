"""`FrozenPyramid`: the same feature maps and gradients as the backbone's own, from a faster copy."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import nn

import gantl_zoo as gz
from gantl_zoo.networks.frozen import DepthwiseConv2d, FrozenPyramid, InPlaceReLU6

NAMES = ("timm:mobilenetv2_035", "timm:tf_efficientnet_lite0", "timm:mobilenetv3_small_050", "timm:resnet10t")


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


@pytest.mark.parametrize("side", [7, 8])
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, 1), (3, 2, 1), (5, 2, 2), (5, 1, 0)])
def test_a_depthwise_convolution_has_the_gradients_of_conv2d(
    kernel: int, stride: int, padding: int, side: int
) -> None:
    conv = nn.Conv2d(4, 4, kernel, stride, padding, groups=4, dtype=torch.double).requires_grad_(False)
    fast = DepthwiseConv2d(conv)
    images = torch.randn(2, 4, side, side, dtype=torch.double, requires_grad=True)
    torch.testing.assert_close(fast(images), conv(images))
    assert torch.autograd.gradcheck(fast, images)
    assert torch.autograd.gradgradcheck(fast, images)


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


@pytest.mark.parametrize(
    "kind", [nn.ReLU6(inplace=True), InPlaceReLU6()], ids=lambda kind: type(kind).__name__
)
def test_relu6_overwrites_its_input_and_has_two_derivatives(kind: nn.Module) -> None:
    images = (torch.randn(40, dtype=torch.double) * 5).requires_grad_()
    hidden = images * 1
    assert torch.equal(kind(hidden), images.clamp(0, 6)) and torch.equal(hidden, images.clamp(0, 6))
    assert torch.autograd.gradcheck(lambda x: kind(x * 1), images)
    assert torch.autograd.gradgradcheck(lambda x: kind(x * 1), images)


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
