"""`FrozenPyramid`: the same feature maps and gradients as the backbone's own, from a faster copy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.profiler import ProfilerActivity, profile

import gantl_zoo as gz
from gantl_zoo.networks import frozen_convolution
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.frozen_convolution import FrozenConv2d, depthwise_gradient, limits_itself
from gantl_zoo.training.second_derivatives import SecondDerivatives

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
def test_the_copy_has_the_same_maps_and_gradients(name: str, folded: bool = True) -> None:
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
    if not folded:
        return
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
    assert torch.autograd.gradcheck(frozen, images, fast_mode=True)
    assert torch.autograd.gradgradcheck(frozen, images, fast_mode=True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("most", [None, 6.0, math.inf])
@pytest.mark.parametrize("kind", CONVS)
def test_single_and_half_precision_agree_with_conv2d(
    kind: str, most: float | None, dtype: torch.dtype
) -> None:
    """Both have paths of their own: limits inside of the convolution, and depthwise gradients in half."""
    torch.manual_seed(0)
    conv = copy.deepcopy(CONVS[kind]).requires_grad_(False)
    conv.reset_parameters()
    images = (torch.randn(2, 4, 8, 8) * 3).contiguous(memory_format=torch.channels_last)
    results = []
    frozen = FrozenConv2d(copy.deepcopy(conv), most).to(dtype)
    for network, kind_of in ((conv, torch.float32), (frozen, dtype)):
        inputs = images.to(kind_of).requires_grad_()
        features = network(inputs)
        if most is not None and network is conv:
            features = features.clamp(0, most)
        slope = torch.linspace(-1, 1, features.numel()).view_as(features)
        (gradient,) = torch.autograd.grad((features.float() * slope).sum(), inputs)
        results.append((features.float(), gradient.float()))
    error = 1e-5 if dtype == torch.float32 else 0.1  # half precision has some values beyond the other limit
    for own, fast in zip(*results, strict=True):
        assert (own - fast).norm() <= error * own.norm()


@pytest.mark.parametrize("stride", [1, 2, 3])
@pytest.mark.parametrize("zeros", [(0, 0), (1, 1), (0, 1), (1, 2), (2, 2)], ids=str)
@pytest.mark.parametrize("size", [(7, 8), (9, 12)], ids=str)
def test_the_gradient_of_a_depthwise_convolution_is_exact(
    size: tuple[int, int], zeros: tuple[int, int], stride: int
) -> None:
    images = torch.randn(2, 3, *size, dtype=torch.double, requires_grad=True)
    weight = torch.randn(3, 1, 3, 3, dtype=torch.double)
    padded = functional.pad(images, (zeros[1], zeros[1], *zeros))  # uneven above and below
    result = functional.conv2d(padded, weight, stride=stride, groups=3)
    slope = torch.randn_like(result)
    (expected,) = torch.autograd.grad(result, images, slope)
    around = (zeros, (zeros[1], zeros[1]))
    torch.testing.assert_close(depthwise_gradient(slope, weight, stride, around, images.shape[-2:]), expected)


def test_in_half_precision_a_depthwise_convolution_has_two_derivatives() -> None:
    conv = copy.deepcopy(CONVS["depthwise, as TensorFlow"]).requires_grad_(False)
    seconds = []
    for dtype in (torch.float32, torch.bfloat16):
        images = torch.linspace(-1, 1, 4 * 64).view(1, 4, 8, 8).to(dtype).requires_grad_()
        loss = (FrozenConv2d(copy.deepcopy(conv).to(dtype), math.inf)(images) ** 2).sum()
        (gradient,) = torch.autograd.grad(loss, images, create_graph=True)
        seconds.append(torch.autograd.grad((gradient**2).sum(), images)[0].float())
    assert (seconds[0] - seconds[1]).norm() <= 0.1 * seconds[0].norm() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.double])
def test_limits_are_part_of_the_convolution_where_onednn_can(
    dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    images, calls = torch.ones(1, 4, 8, 8, dtype=dtype), []
    expected, usual = limits_itself(images), frozen_convolution.limited
    monkeypatch.setattr(frozen_convolution, "limited", lambda *these: calls.append(1) or usual(*these))
    frozen = FrozenConv2d(copy.deepcopy(CONVS["dense"]).to(dtype), 6.0)
    fused = frozen(images)
    assert bool(calls) == expected
    enabled = torch._C._get_mkldnn_enabled()
    torch._C._set_mkldnn_enabled(False)
    try:
        assert not limits_itself(images)
        torch.testing.assert_close(frozen(images), fused)
    finally:
        torch._C._set_mkldnn_enabled(enabled)
    assert len(calls) <= 1


def test_a_build_without_the_operator_is_not_asked_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def rejected(*these: Any) -> Tensor:
        raise RuntimeError("hardtanh is not supported")

    frozen_convolution.is_limited_well.cache_clear()
    monkeypatch.setattr(frozen_convolution, "limited", rejected)
    try:
        images = torch.randn(1, 4, 8, 8)
        conv = copy.deepcopy(CONVS["dense"])
        torch.testing.assert_close(FrozenConv2d(conv, 6.0)(images), conv(images).clamp(0, 6))
    finally:
        frozen_convolution.is_limited_well.cache_clear()


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_maps_of_an_image_that_is_not_finite_are_not(value: float) -> None:
    """Otherwise its update would not be skipped."""
    frozen, images = FrozenPyramid(randomised(NAMES[1]).float()), torch.zeros(2, 3, 32, 32)
    images[1, 0, 3, 3] = value
    for dtype in (torch.float32, torch.bfloat16):
        with torch.autocast("cpu", torch.bfloat16, enabled=dtype == torch.bfloat16):
            for features in frozen(images):
                assert features[0].isfinite().all() and features[1].isnan().all()


def test_second_derivatives_are_not_computed_group_by_group() -> None:
    """As R1 needs them for the layers behind the backbone."""
    frozen, images = FrozenPyramid(randomised(NAMES[1]).float()), torch.randn(1, 3, 32, 32).requires_grad_()
    with SecondDerivatives():
        features = frozen(images)[-1]
        weight = torch.ones(features.shape[1], 1, 1, requires_grad=True)
        logits = (features * weight).sum()
    (slope,) = torch.autograd.grad(logits, images, create_graph=True)
    with profile(activities=[ProfilerActivity.CPU]) as profiler:
        torch.autograd.grad(slope.square().sum(), weight)
    calls = sum(event.count for event in profiler.key_averages() if event.key == "aten::convolution")
    layers = [m for m in frozen.copies[None].modules() if isinstance(m, (FrozenConv2d, nn.Conv2d))]
    assert 0 < calls <= 2 * len(layers)


class Block(nn.Module):
    """Two convolutions with what `join` makes of the result of the second."""

    def __init__(self, join: Callable[[Tensor, Tensor], Tensor], act: nn.Module | None = None) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(3, 3, 1), nn.Conv2d(3, 3, 1)
        self.act, self.last, self.join = nn.ReLU(), act or nn.ReLU(), join

    def pyramid(self, images: Tensor) -> list[Tensor]:
        hidden = self.second(self.act(self.first(images)))
        return [self.join(self.last(hidden), hidden)]


class Doubled(nn.ReLU):
    def forward(self, features: Tensor) -> Tensor:
        return 2 * super().forward(features)


def test_a_sum_before_the_relu_is_kept() -> None:
    """`x += shortcut` changes the convolution's own result: the ReLU behind it doesn't follow directly."""

    class Residual(Block):
        def pyramid(self, images: Tensor) -> list[Tensor]:
            hidden = self.second(self.act(self.first(images)))
            hidden += images
            return [self.last(hidden)]

    kinds = kinds_of_copy(Residual(lambda result, hidden: result))
    assert kinds == ["FrozenConv2d", "Conv2d", "Identity", "ReLU"]


@pytest.mark.parametrize(
    ("block", "kinds"),
    [
        (Block(lambda result, hidden: result), ["FrozenConv2d", "FrozenConv2d", "Identity", "Identity"]),
        (Block(lambda result, hidden: result - hidden), ["Conv2d", "Conv2d", "ReLU", "ReLU"]),
        (Block(lambda result, hidden: result, Doubled()), ["FrozenConv2d", "Conv2d", "Identity", "Doubled"]),
    ],
    ids=["alone", "used elsewhere", "subclass"],
)
def test_a_copy_that_would_have_other_maps_is_not_used(block: Block, kinds: list[str]) -> None:
    assert kinds_of_copy(block) == kinds


def kinds_of_copy(block: Block) -> list[str]:
    """The kinds of modules of the frozen copy, whose maps are checked."""
    block, images = block.eval().requires_grad_(False), torch.randn(2, 3, 4, 4)
    frozen = FrozenPyramid(block)
    torch.testing.assert_close(frozen(images), block.pyramid(images))
    return [type(module).__name__ for module in frozen.copies[None].children()]


@pytest.mark.parametrize("name", ["timm:ghostnet_050"])
def test_backbones_that_use_a_result_twice_have_their_own_maps(name: str) -> None:
    test_the_copy_has_the_same_maps_and_gradients(name, folded=False)


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
