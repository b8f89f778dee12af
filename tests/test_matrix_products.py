"""Convolutions with small feature maps and their gradients as matrix products."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from helpers import new_trainer
from torch import Tensor, nn
from torch.autograd import grad, gradcheck, gradgradcheck
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import seeded
from gantl_zoo.training import convolution_products, engine
from gantl_zoo.training.convolution import Convolution, convolve
from gantl_zoo.training.convolution_geometry import Geometry
from gantl_zoo.training.convolution_products import FEWEST_CHANNELS, GRADIENT_NUMBERS
from gantl_zoo.training.matrix_products import MatrixProducts
from gantl_zoo.training.recipe import Recipe

# side of the large map, kernel, stride, padding
FORMS = [(9, 3, 2, 1), (5, 3, 1, 1), (8, 5, 2, 2), (7, 4, 2, 1), (6, 3, 3, 0), (5, 1, 2, 0)]
LAYERS = [
    ("conv", 64, 32, 8, {"kernel_size": 5, "stride": 2, "padding": 2}),
    ("conv", 32, 48, 4, {"kernel_size": 3, "padding": 1, "bias": False}),
    ("up", 32, 64, 8, {"kernel_size": 5, "stride": 2, "padding": 2, "output_padding": 1}),
    ("up", 48, 32, 7, {"kernel_size": 4, "stride": 2, "padding": 1}),
]


def double(*shape: int) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, requires_grad=True)


@pytest.mark.parametrize(
    ("groups", "most", "fewest"),
    [(1, GRADIENT_NUMBERS, 1), (1, 100, 1), (1, GRADIENT_NUMBERS, FEWEST_CHANNELS), (1, 0, 1), (2, 0, 1)],
    ids=["whole", "parts", "gradient", "torch", "groups"],
)
@pytest.mark.parametrize(("side", "kernel", "stride", "padding"), FORMS)
def test_gradients_are_those_of_the_formula(
    side: int,
    kernel: int,
    stride: int,
    padding: int,
    groups: int,
    most: int,
    fewest: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(convolution_products, "MOST_NUMBERS", most)
    monkeypatch.setattr(convolution_products, "GRADIENT_NUMBERS", most)
    monkeypatch.setattr(convolution_products, "FEWEST_CHANNELS", fewest)
    form = Geometry(kernel, stride, padding, groups, product=most > 0)
    large, weight, bias = double(2, 4, side, side), double(6, 4 // groups, kernel, kernel), double(6)
    usual = replace(form, product=False)
    small = convolve(large, weight, None, usual).detach().requires_grad_()
    for one, inputs, outputs in ((form, large, small), (form.opposite(large), small, large)):
        tensors = (inputs, weight) if one.transposed else (inputs, weight, bias)

        def call(inputs: Any, weight: Any, bias: Any = None, form: Geometry = one) -> Any:
            return Convolution.apply(inputs, weight, bias, form)

        plain = replace(one, product=False)
        assert convolution_products.faster(inputs, weight, one) == (fewest == 1)
        torch.testing.assert_close(
            call(*tensors), convolve(inputs, weight, bias if tensors[2:] else None, plain)
        )
        assert call(*tensors).shape == outputs.shape
        assert gradcheck(call, tensors, fast_mode=True) and gradgradcheck(call, tensors, fast_mode=True)


def counted(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets an entry for each weight gradient that is a matrix product."""
    calls: list[int] = []
    usual = convolution_products.weight_product

    def counting(*arguments: Any) -> Tensor:
        calls.append(1)
        return usual(*arguments)

    monkeypatch.setattr(convolution_products, "weight_product", counting)
    return calls


@pytest.mark.parametrize(("kind", "inputs", "outputs", "side", "settings"), LAYERS)
def test_layers_in_bfloat16_have_the_gradients_of_torch(
    kind: str,
    inputs: int,
    outputs: int,
    side: int,
    settings: dict[str, Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls = counted(monkeypatch)
    with seeded(0):
        layer = (nn.Conv2d if kind == "conv" else nn.ConvTranspose2d)(inputs, outputs, **settings)
        images = torch.randn(8, inputs, side, side, requires_grad=True)

    def step() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            result = layer(images)
        return [result, *grad(result.float().square().sum(), [images, *layer.parameters()])]

    with MatrixProducts():
        ours = step()
    assert calls == [1]
    for one, other in zip(ours, step(), strict=True):
        assert one.dtype == other.dtype
        assert (one - other).norm() < 0.01 * other.norm()
    assert calls == [1]


@pytest.mark.parametrize("kind", ["conv", "up"])
@pytest.mark.parametrize(("side", "positions"), [(8, 16), (12, 36), (14, 49)])
def test_maps_of_a_few_positions_are_products_in_both_directions(
    kind: str, side: int, positions: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to 36 positions of the small map. A layer behind may change the result in place."""
    calls: list[str] = []
    for name in ("gathered", "scattered"):
        usual = getattr(convolution_products, name)
        monkeypatch.setattr(
            convolution_products, name, lambda *given, n=name, u=usual: calls.append(n) or u(*given)
        )
    small = side // 2
    with seeded(0):
        layer: Any = nn.Conv2d(128, 130, 5, 2, 2)
        if kind == "up":
            layer, side = nn.ConvTranspose2d(130, 128, 5, 2, 2, 1), small
        images = torch.randn(3, layer.in_channels, side, side, requires_grad=True)

    def step() -> list[Tensor]:
        with torch.autocast("cpu", torch.bfloat16):
            with torch.no_grad():
                first = layer(images)
            result = functional.leaky_relu(layer(images), 0.2, inplace=True)
        return [first, result, *grad(result.float().square().sum(), [images, *layer.parameters()])]

    with MatrixProducts():
        ours = step()
    own, opposite = ("gathered", "scattered") if kind == "conv" else ("scattered", "gathered")
    assert calls == ([own, own, opposite] if positions <= 36 else [])
    for one, other in zip(ours, step(), strict=True):
        assert one.dtype == other.dtype and one.shape == other.shape
        assert (one - other).norm() < 0.01 * other.norm()
    assert ours[1].is_contiguous(memory_format=torch.channels_last) or not calls


@pytest.mark.parametrize("layer", [nn.Conv2d(128, 128, 3, 2, 1), nn.ConvTranspose2d(128, 128, 4, 2, 1)])
def test_a_batch_without_images(layer: nn.Module) -> None:
    images = torch.randn(0, 128, 4, 4, requires_grad=True)
    with MatrixProducts(), torch.autocast("cpu", torch.bfloat16):
        result = layer(images)
    result.float().sum().backward()
    with torch.autocast("cpu", torch.bfloat16):
        assert result.shape == layer(images).shape and images.grad is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: functional.conv2d(x, w),
        lambda x, w: functional.conv_transpose2d(x, w, None, 2, 1, 2),
    ],
    ids=["large-kernel", "padding"],
)
def test_errors_are_those_of_torch(call: Callable[[Tensor, Tensor], Tensor]) -> None:
    features, weight = torch.randn(1, 128, 3, 3), torch.randn(128, 128, 5, 5, requires_grad=True)
    with torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError) as usual:
        call(features, weight)
    with MatrixProducts(), torch.autocast("cpu", torch.bfloat16), pytest.raises(RuntimeError) as ours:
        call(features, weight)
    assert str(ours.value) == str(usual.value)


def test_layers_that_are_frozen_or_parametrised_are_products_in_each_mode(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    calls: list[int] = []
    usual = convolution_products.gathered
    monkeypatch.setattr(convolution_products, "gathered", lambda *given: calls.append(1) or usual(*given))
    features = torch.randn(2, 128, 4, 4, requires_grad=True)
    normal = nn.utils.parametrizations.spectral_norm(nn.Conv2d(128, 128, 3, padding=1)).eval()
    for layer in (normal, nn.Conv2d(128, 128, 3, padding=1).requires_grad_(False)):
        with MatrixProducts(), torch.autocast("cpu", torch.bfloat16):
            first = layer(features)
            with torch.no_grad():
                assert torch.equal(layer(features), first)
        assert len(calls) == 2
        calls.clear()


@pytest.mark.parametrize(
    "call",
    [
        lambda x, w: functional.conv2d(x, w, padding="same"),
        lambda x, w: functional.conv2d(x, w, stride=(1, 2), padding=1),
        lambda x, w: functional.conv2d(x, w, padding=2, dilation=2),
        lambda x, w: functional.conv2d(x, w[:, :16], padding=1, groups=2),
        lambda x, w: functional.conv2d(x[:, :3], w[:, :3], padding=1),
        lambda x, w: functional.conv2d(x, w[:, :, :1, :1]),
        lambda x, w: functional.conv2d(x.tile(1, 1, 2, 2), w, padding=1),
        lambda x, w: functional.conv2d(x[0], w, padding=1),
        lambda x, w: functional.conv2d(x[..., 1:], w, stride=2, padding=1),
        lambda x, w: functional.conv2d(x, w.detach(), padding=1),
        lambda x, w: functional.conv_transpose2d(x, w, None, 2, 1, (0, 1)),
    ],
    ids=[
        "words",
        "oblong",
        "dilated",
        "groups",
        "few-channels",
        "one-pixel",
        "large",
        "no-batch",
        "oblong-image",
        "frozen",
        "oblong-up",
    ],
)
def test_other_convolutions_are_left_as_they_are(
    call: Callable[[Tensor, Tensor], Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = counted(monkeypatch)
    features, weight = torch.randn(2, 32, 8, 8), torch.randn(32, 32, 3, 3, requires_grad=True)
    features.requires_grad_()
    with MatrixProducts(), torch.autocast("cpu", torch.bfloat16):
        ours = call(features, weight)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(ours, call(features, weight))
    ours.float().sum().backward()  # type: ignore[no-untyped-call]
    assert not calls


def test_float32_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = counted(monkeypatch)
    layer, features = nn.Conv2d(32, 32, 3), torch.randn(2, 32, 8, 8)
    with MatrixProducts():
        result = layer(features)
        with torch.autocast("cpu", torch.bfloat16), torch.autocast("cpu", enabled=False):
            result = result + layer(features)  # as gradient penalties do
    result.sum().backward()
    assert result.dtype == torch.float32 and not calls


def test_weights_whose_gradient_nobody_asks_for_cost_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """A step of the generator needs the gradient of the discriminator's input alone."""
    calls = counted(monkeypatch)
    layer, features = nn.Conv2d(32, 32, 3), torch.randn(2, 32, 8, 8, requires_grad=True)
    with MatrixProducts(), torch.autocast("cpu", torch.bfloat16):
        (layer(features) * 2).float().sum().backward(inputs=[features])
    assert not calls and features.grad is not None and layer.weight.grad is None


def test_steps_in_bfloat16_use_it_where_there_is_amx(monkeypatch: pytest.MonkeyPatch) -> None:
    with seeded(0):
        start = gz.build_gan("dcgan", generator_config={"image_size": 32, "channels": 3, "width": 32})
        data = ImageData(torch.randint(0, 256, (8, 3, 32, 32), dtype=torch.uint8))

    def weights(gan: gz.GAN) -> Tensor:
        return torch.cat([parameter.detach().flatten() for parameter in gan.discriminator.parameters()])

    def trained(amx: bool) -> tuple[int, Tensor]:
        monkeypatch.setattr(engine, "has_amx", lambda: amx)
        calls, gan = counted(monkeypatch), copy.deepcopy(start)
        recipe = Recipe(steps=2, batch=8, r1=1.0, precision="bf16")
        trainer = new_trainer(gan, gz.TransferStrategy(), data, recipe, engine.choose("cpu", "bf16"))
        with seeded(0):
            for step in range(2):
                trainer.step(step, torch.arange(8))
        return len(calls), weights(gan)

    (some, ours), (none, usual) = trained(True), trained(False)
    assert some > none == 0
    assert (ours - usual).norm() < 0.2 * (usual - weights(start)).norm()
