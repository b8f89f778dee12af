"""The layers of StyleGAN2 equal their formulas."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.networks.stylegan2_discriminator import Epilogue
from gantl_zoo.networks.stylegan2_filters import blur, downsample, new_kernel, upsample
from gantl_zoo.networks.stylegan2_layers import EqualConv, EqualLinear, ModulatedConv, ToImage


def filtered(maps: Tensor, kernel: Tensor, up: int, padding: tuple[int, int]) -> Tensor:
    """Insert `up` - 1 zeros after each value, pad by zeros, and convolve with the kernel."""
    count, channels, height, width = maps.shape
    wide = maps.new_zeros(count, channels, height * up, width * up)
    wide[:, :, ::up, ::up] = maps
    wide = functional.pad(wide, padding * 2)
    size = wide.shape[-1] - kernel.shape[0] + 1
    turned = kernel.flip(0, 1)
    return sum(  # type: ignore[return-value]
        turned[i, j] * wide[:, :, i : i + size, j : j + size] for i in range(4) for j in range(4)
    )


def test_filters_equal_their_definition() -> None:
    kernel = torch.rand(4, 4, dtype=torch.float64)  # neither symmetric nor separable
    maps = torch.randn(2, 3, 6, 6, dtype=torch.float64)
    turned = kernel.flip(0, 1)  # convolution layers correlate
    torch.testing.assert_close(blur(maps, turned, padding=1), filtered(maps, kernel, 1, (1, 1)))
    torch.testing.assert_close(blur(maps, turned, padding=2), filtered(maps, kernel, 1, (2, 2)))
    torch.testing.assert_close(downsample(maps, turned), filtered(maps, kernel, 1, (1, 1))[:, :, ::2, ::2])
    torch.testing.assert_close(upsample(maps, kernel), filtered(maps, 4 * kernel, 2, (2, 1)))
    assert float(new_kernel().sum()) == 1 and new_kernel()[0].tolist() == [1 / 64, 3 / 64, 3 / 64, 1 / 64]


@pytest.mark.parametrize("layer", ["blur", "downsample", "upsample"])
def test_filters_have_first_and_second_derivatives(layer: str) -> None:
    kernel = torch.rand(4, 4, dtype=torch.float64)
    apply: Any = {"blur": lambda m: blur(m, kernel, 2), "downsample": lambda m: downsample(m, kernel),
                  "upsample": lambda m: upsample(m, kernel)}[layer]  # fmt: skip
    maps = torch.randn(1, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(apply, maps) and torch.autograd.gradgradcheck(apply, maps)


def test_half_precision_filters_have_the_values_of_others() -> None:
    maps = torch.randn(2, 3, 8, 8).bfloat16()
    for apply in (upsample, downsample, lambda m, k: blur(m, k, 2)):
        expected = apply(maps.double(), new_kernel())
        assert (apply(maps, new_kernel()).double() - expected).abs().max() < 0.02 * expected.abs().max()


@pytest.mark.parametrize("up", [False, True])
def test_a_modulated_convolution_has_a_weight_for_each_image(up: bool) -> None:
    layer = ModulatedConv(3, 4, 5, 8, up=up, clamp=0.9).double()
    nn.init.constant_(layer.noise_strength, 0.3)
    nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    maps, latents = torch.randn(2, 3, 4 if up else 8, 4 if up else 8).double(), torch.randn(2, 5).double()
    for image, style, actual in zip(maps, layer.affine(latents), layer(maps, latents, "const"), strict=True):
        weight = layer.weight * style[:, None, None]
        weight = weight / (weight.square().sum((1, 2, 3), keepdim=True) + 1e-8).sqrt()
        if up:
            wide = functional.conv_transpose2d(image[None], weight.transpose(0, 1), stride=2)
            expected = filtered(wide, 4 * new_kernel().double(), 1, (1, 1))[0]
        else:
            expected = functional.conv2d(image[None], weight, padding=1)[0]
        expected = expected + layer.bias[:, None, None] + 0.3 * layer.noise_const  # type: ignore[index]
        expected = (functional.leaky_relu(expected, 0.2) * 2**0.5).clamp(-0.9, 0.9)
        torch.testing.assert_close(actual, expected)
        assert (actual.abs() == 0.9).any()


@pytest.mark.parametrize("up", [False, True])
def test_one_image_is_computed_as_it_is_in_a_batch(up: bool) -> None:
    layer = ModulatedConv(3, 2, 5, 16, up=up).double()
    nn.init.constant_(layer.noise_strength, 0.3)
    nn.init.normal_(layer.bias)  # type: ignore[arg-type]
    side = 8 if up else 16
    assert side**2 > layer.weight[:, 0].numel(), "so the weight is scaled"
    maps, latents = torch.randn(2, 3, side, side).double(), torch.randn(2, 5).double().requires_grad_()
    one, both = layer(maps[:1], latents[:1], "const"), layer(maps, latents, "const")
    torch.testing.assert_close(one, both[:1])
    inputs = [latents, *layer.parameters()]
    slopes = [torch.autograd.grad(part.square().sum(), inputs) for part in (one, both[:1])]
    torch.testing.assert_close(slopes[0], slopes[1])
    assert layer.used.is_contiguous(memory_format=torch.channels_last)


def test_the_other_layers_equal_their_formulas() -> None:
    maps, latents = torch.randn(2, 8, 4, 4).double(), torch.randn(2, 5).double()
    image = ToImage(8, 3, 5).double()
    weights = image.weight[None] * image.affine(latents)[:, None, :, None, None] / 8**0.5
    parts = [functional.conv2d(one[None], weight) for one, weight in zip(maps, weights, strict=True)]
    torch.testing.assert_close(image(maps, latents), torch.cat(parts))
    linear = EqualLinear(5, 4, active=True, bias=2.0, lr_multiplier=0.01).double()
    assert 60 < linear.weight.std() < 200 and linear.bias.tolist() == [2.0] * 4
    expected = functional.linear(latents, linear.weight * 0.01 / 5**0.5, linear.bias * 0.01)
    torch.testing.assert_close(linear(latents), functional.leaky_relu(expected, 0.2) * 2**0.5)
    conv = EqualConv(8, 6, 3, down=True, gain=0.5, clamp=1.2).double()
    expected = functional.conv2d(
        filtered(maps, new_kernel().double(), 1, (2, 2)), conv.weight / 72**0.5, stride=2
    )
    expected = functional.leaky_relu(expected, 0.2) * 2**0.5 * 0.5
    torch.testing.assert_close(conv(maps), expected.clamp(-0.6, 0.6))


@pytest.mark.parametrize(("count", "size"), [(1, 1), (2, 2), (4, 4), (5, 1), (6, 3), (8, 4), (3, 3)])
def test_the_minibatch_deviation_is_of_interleaved_groups_for_any_batch(count: int, size: int) -> None:
    head = Epilogue(6, 1, group=4, extra=2, clamp=None).double()
    maps = torch.randn(count, 6, 4, 4).double()
    deviations = head.deviations(maps)
    assert deviations.shape == (count, 2, 4, 4)
    for image, channel in ((0, 0), (count - 1, 1)):
        group = maps[image % (count // size) :: count // size, 3 * channel : 3 * channel + 3]
        expected = (group.var(0, correction=0) + 1e-8).sqrt().mean()
        torch.testing.assert_close(deviations[image, channel], expected.expand(4, 4))
    assert head.mixes_images and not Epilogue(6, 1, group=4, extra=0, clamp=None).mixes_images
