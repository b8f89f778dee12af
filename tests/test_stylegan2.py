"""StyleGAN2: its formulas, its intermediate latent space, its settings."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import new_trainer, state
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.stylegan2_discriminator import Epilogue
from gantl_zoo.networks.stylegan2_filters import blur, downsample, new_kernel, upsample
from gantl_zoo.networks.stylegan2_layers import EqualConv, EqualLinear, ModulatedConv, ToImage
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe

BOTH: dict[str, Any] = {"image_size": 16, "channel_base": 64, "channel_max": 8}
OWN: dict[str, Any] = {"latent_dim": 6, "w_dim": 5, "mapping_layers": 2}
KINDS = (gz.generators, gz.discriminators)


def build(**config: Any) -> gz.GAN:
    """A GAN of a few thousand parameters, with noise and a mean that matter."""
    judged = BOTH | {key: value for key, value in config.items() if key in BOTH or key == "channels"}
    gan = gz.build_gan("stylegan2", generator_config=BOTH | OWN | config, discriminator_config=judged)
    for name, tensor in gan.generator.state_dict().items():
        if name.endswith(("noise_strength", "w_avg", "bias")):
            tensor.add_(torch.randn_like(tensor) * 0.3)
    return gan


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


def test_the_tensors_have_the_official_names() -> None:
    gan = gz.build_gan(
        "stylegan2", generator_config=BOTH | OWN | {"num_classes": 3}, discriminator_config=BOTH
    )
    conv = {"weight", "noise_strength", "bias", "resample_filter", "noise_const"}
    conv |= {"affine.weight", "affine.bias"}
    names = {f"synthesis.b{side}.conv1.{name}" for side in (4, 8, 16) for name in conv}
    names |= {f"synthesis.b{side}.conv0.{name}" for side in (8, 16) for name in conv}
    image = ("weight", "bias", "affine.weight", "affine.bias")
    names |= {f"synthesis.b{side}.torgb.{name}" for side in (4, 8, 16) for name in image}
    names |= {f"synthesis.b{side}.resample_filter" for side in (4, 8, 16)} | {"synthesis.b4.const"}
    layers = ("embed", "fc0", "fc1")
    names |= {f"mapping.{layer}.{name}" for layer in layers for name in ("weight", "bias")}
    assert set(gan.generator.state_dict()) == names | {"mapping.w_avg"}
    plain = ("weight", "bias", "resample_filter")
    names = {f"b{side}.{conv}.{name}" for side in (8, 16) for conv in ("conv0", "conv1") for name in plain}
    names |= {f"b{side}.skip.{name}" for side in (8, 16) for name in ("weight", "resample_filter")}
    names |= {f"b16.fromrgb.{name}" for name in plain} | {f"b4.conv.{name}" for name in plain}
    names |= {f"b4.{layer}.{name}" for layer in ("fc", "out") for name in ("weight", "bias")}
    names |= {f"b{side}.resample_filter" for side in (8, 16)}
    layers = ("embed", *(f"fc{i}" for i in range(8)))
    names |= {f"mapping.{layer}.{name}" for layer in layers for name in ("weight", "bias")}
    assert set(gan.discriminator.state_dict()) == names


def test_ten_frozen_layers_of_the_official_code_are_three_blocks() -> None:
    network = gz.discriminators.build("stylegan2", image_size=256, channel_base=512, channel_max=8)
    layers = [[m for m in block.modules() if isinstance(m, EqualConv)] for block in network.blocks]
    assert [len(convs) for convs in layers] == [4, 3, 3, 3, 3, 3, 1] and sum(map(len, layers[:3])) == 10
    frozen = set(build_strategy("freeze-d", {"first": 3}).learns(network, "discriminator"))
    assert [block in frozen for block in network.blocks] == [False] * 3 + [True] * 4
    assert network.blocks[0] is network.b256 and network.blocks[-1].b4 is network.b4


def test_generate_truncates_in_the_intermediate_latent_space() -> None:
    gan = build()
    latents = gan.map(torch.randn(3, 6))
    assert latents.shape == (3, 6, 5) and torch.equal(latents[:, 0], latents[:, 5])
    mean = gan.generator.mapping.w_avg
    torch.testing.assert_close(gan.truncate(latents, 0.7), mean + 0.7 * (latents - mean))
    first = gan.generator.truncate(latents, 0.0, layers=2)
    assert torch.equal(first[:, 2:], latents[:, 2:]) and torch.equal(first[1, 1], mean)
    images = gan.generate(2, truncation=0.5)
    noise = torch.stack([torch.randn(6, generator=torch.Generator().manual_seed(seed)) for seed in (0, 1)])
    expected = gan.synthesize(gan.truncate(gan.map(noise), 0.5)).clamp(-1, 1)
    torch.testing.assert_close(images, expected.detach())
    assert torch.equal(images, gan.generate(2, truncation=0.5)) and not torch.equal(images, gan.generate(2))


def test_images_are_differentiable_in_both_latents() -> None:
    gan = build()
    noise = torch.randn(2, 6, requires_grad=True)
    latents = gan.map(noise)
    slopes = torch.autograd.grad(gan.synthesize(latents).square().sum(), [noise, latents])
    assert all(slope.isfinite().all() and slope.abs().sum() > 0 for slope in slopes)
    with pytest.raises(gz.UsageError, match=r"latents must be \(N, 5\) or \(N, 6, 5\), not \(2, 4, 5\)"):
        gan.synthesize(latents[:, :4])


def test_each_layer_can_have_its_own_latent() -> None:
    gan = build(noise="const")
    one, other = gan.map(torch.randn(2, 6)).chunk(2)
    mixed = torch.cat([one[:, :4], other[:, 4:]], 1)
    images = gan.synthesize(mixed)
    assert torch.equal(images, gan.generator.synthesize([*one[:, :4].unbind(1), *other[:, 4:].unbind(1)]))
    torch.testing.assert_close(gan.synthesize(one), gan.synthesize(one[:, 0]))
    for place in range(6):  # each layer has an effect
        changed = one.clone()
        changed[:, place] = other[:, place]
        assert (gan.synthesize(changed) - gan.synthesize(one)).abs().max() > 1e-4, place


def alike(images: Tensor) -> bool:
    """Whether the first two images are equal but for rounding."""
    return torch.allclose(images[0], images[1], rtol=1e-4, atol=1e-4)


def test_noise_is_new_in_training_and_fixed_in_eval_mode() -> None:
    network = build().generator
    latents = network.map(torch.randn(1, 6)).expand(2, -1, -1)
    network.eval()
    fixed = network.synthesize(latents)
    assert alike(fixed) and torch.equal(fixed, network.synthesize(latents, noise="const"))
    assert not alike(network.synthesize(latents, noise="random"))
    network.train()
    assert not alike(network.synthesize(latents))
    without = network.synthesize(latents, noise="none")
    assert alike(without) and not torch.allclose(without, fixed, atol=1e-3)
    for kind in ("const", "none"):
        twin = gz.generators.build("stylegan2", **BOTH, **OWN, noise=kind)
        twin.load_state_dict(network.state_dict())
        assert torch.equal(twin.train().synthesize(latents), network.synthesize(latents, noise=kind))
    with pytest.raises(
        gz.UsageError, match="stylegan2: unknown noise 'fixed'; there are: random, const, none"
    ):
        network.synthesize(latents, noise="fixed")


def test_training_moves_the_mean_of_the_latents_and_nothing_else_does() -> None:
    network = build().generator
    noise, before = torch.randn(8, 6), network.mapping.w_avg.clone()
    network.eval()(noise)
    network.train().synthesize(network.map(noise))
    assert torch.equal(network.mapping.w_avg, before)
    network(noise)
    expected = 0.995 * before + 0.005 * network.map(noise)[:, 0].mean(0)
    torch.testing.assert_close(network.mapping.w_avg, expected.detach())


def test_the_average_follows_the_mean_unless_the_mapping_is_frozen(images: ImageData) -> None:
    for name, moves in (("full", True), ("freeze-g", False)):
        gan, machine = build(channels=1), engine.choose("cpu", "fp32")
        recipe = Recipe(steps=2, batch=4, precision="fp32", r1=0.1)
        before = gan.generator.mapping.w_avg.clone()
        trainer = new_trainer(gan, build_strategy(name, {}), images.fit(16, 1), recipe, machine)
        for step in range(2):
            trainer.step(step, torch.arange(4))
        average: Any = trainer.average
        assert torch.equal(gan.generator.mapping.w_avg, before) != moves
        assert torch.equal(average.mapping.w_avg, before) != moves


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_survives_large_styles_and_weights(dtype: torch.dtype) -> None:
    gan = build(conv_clamp=256.0)
    noise = torch.randn(4, 6)
    usual = gan.generator(noise).detach()
    with torch.no_grad():  # demodulation cancels both
        for module in gan.generator.modules():
            if isinstance(module, ModulatedConv):
                module.weight.mul_(30)
                for parameter in module.affine.parameters():
                    parameter.mul_(300)
    torch.testing.assert_close(gan.generator(noise).detach(), usual, rtol=1e-3, atol=1e-4)
    gan.to(dtype)
    images = gan.synthesize(gan.map(noise))
    logits = gan.discriminator(images)
    assert images.dtype == dtype and images.isfinite().all() and logits.isfinite().all()
    assert (images.float() - usual).abs().max() < 0.1 * usual.abs().max()


def test_autocast_changes_images_only_by_rounding() -> None:
    gan = build()
    noise = torch.randn(4, 6)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        latents, images = gan.generator.map(noise), gan.generator(noise)
        logits = gan.discriminator(images)
    assert torch.equal(latents, gan.generator.map(noise)) and images.dtype == torch.float32
    expected = gan.generator(noise)
    assert (images - expected).abs().max() < 0.05 * expected.abs().max()
    assert logits.dtype == torch.float32


def test_first_and_second_derivatives_are_right() -> None:
    gan = build(num_classes=2).double()
    labels = torch.tensor([0, 1])
    latents = gan.generator.map(torch.randn(2, 6).double(), labels).detach().requires_grad_()
    pulled = torch.randn(2, 3, 16, 16).double()

    def lengths(w: Tensor) -> Tensor:
        images = gan.generator.synthesize(w, noise="const")
        return torch.autograd.grad((images * pulled).sum(), w, create_graph=True)[0].square().sum()

    assert torch.autograd.gradcheck(lengths, latents, fast_mode=True)
    images = torch.rand(2, 3, 16, 16, dtype=torch.float64, requires_grad=True)

    def slopes(given: Tensor) -> Tensor:
        logits = gan.discriminator(given, labels)
        return torch.autograd.grad(logits.sum(), given, create_graph=True)[0].square().sum()

    assert torch.autograd.gradcheck(slopes, images, fast_mode=True)


def test_the_generator_can_be_exported() -> None:
    network = build().generator.eval()
    noise = torch.randn(3, 6)
    program = torch.export.export(network, (noise,), strict=False)
    torch.testing.assert_close(program.module()(noise), network(noise))
    groups = [
        node.args[-1] for node in program.graph.nodes if "conv" in str(node.target) and len(node.args) > 6
    ]
    assert 2 * 3 not in groups, "no convolution has a group for each image"


def test_a_copy_of_the_discriminator_has_its_own_blocks() -> None:
    import copy

    network = gz.discriminators.build("stylegan2", **BOTH, num_classes=2)
    twin = copy.deepcopy(network)
    shared = {id(p) for p in network.parameters()}
    assert not any(id(p) in shared for block in twin.blocks for p in block.parameters())
    nn.init.zeros_(twin.b4.out.weight)
    images, labels = torch.rand(2, 3, 16, 16), torch.tensor([0, 1])
    assert not twin(images, labels).any() and network(images, labels).any()
    assert not twin.blocks[-1].b4.out.weight.any() and len(state(twin)) == len(state(network))


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_size": 4}, r"image_size 4 is not a power of two from 8 on"),
        ({"image_size": 48}, r"image_size 48 is not a power of two"),
        ({"channel_base": 8}, "channel_base must be at least the image_size 16, not 8"),
        ({"channel_max": 0}, "channel_max must be at least 1, not 0"),
        ({"mapping_layers": 0}, "mapping_layers must be at least 1, not 0"),
        ({"num_classes": -1}, "num_classes must be at least 0"),
        ({"conv_clamp": 0.0}, "conv_clamp must be a number > 0, or None for no limit, not 0.0"),
    ],
)
def test_impossible_settings_are_refused(config: dict[str, Any], message: str) -> None:
    for kind in KINDS:
        with pytest.raises(gz.UsageError, match=f"stylegan2: {message}"):
            kind.build("stylegan2", **(BOTH | config))


@pytest.mark.parametrize("extra", [-1, 3])
def test_maps_of_deviations_divide_the_channels(extra: int) -> None:
    message = f"mbstd_channels must divide the 8 channels of the last map, or be 0, not {extra}"
    with pytest.raises(gz.UsageError, match=message):
        gz.discriminators.build("stylegan2", **BOTH, mbstd_channels=extra)
    network = gz.discriminators.build("stylegan2", **BOTH, mbstd_channels=0)
    images = torch.rand(3, 3, 16, 16)
    torch.testing.assert_close(network(images)[:1], network(images[:1]))
