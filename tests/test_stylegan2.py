"""StyleGAN2: its formulas, its intermediate latent space, its settings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import moved, new_trainer, state
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.stylegan2_layers import EqualConv, ModulatedConv
from gantl_zoo.runs.recorder import RunRecorder
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
    latents = network.map(noise)
    network.train().synthesize(latents)
    assert torch.equal(network.mapping.w_avg, before)
    network(noise)
    expected = 0.995 * before + 0.005 * latents[:, 0].mean(0)
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


def test_a_resumed_training_is_the_unbroken_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = BOTH | {"channels": 1}
    settings: dict[str, Any] = {"generator_config": config | OWN, "discriminator_config": config, "steps": 4}
    settings |= {
        "data": photos,
        "batch": 4,
        "precision": "fp32",
        "checkpoint_every": 2,
        "metrics": (),
        "r1": 0.1,
    }
    settings |= {"image_size": 16, "channels": 1}
    whole = gz.train("stylegan2", out=tmp_path / "whole", **settings)

    def on_step(self: RunRecorder, done: int) -> None:
        if done == 3:
            raise OSError("the machine is gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        patch.setattr(RunRecorder, "on_step", on_step)
        gz.train("stylegan2", out=tmp_path / "broken", **settings)
    (run,) = (tmp_path / "broken").iterdir()
    resumed = gz.train(data="", resume=run)
    for role in ("generator", "discriminator"):
        assert not moved(state(getattr(whole, role)), getattr(resumed, role))
    assert whole.generator.mapping.w_avg.any()


def test_san_wraps_the_discriminator() -> None:
    network = gz.discriminators.build("san", discriminator="stylegan2", **BOTH, channels=3)
    features = network.inner(images := torch.rand(4, 3, 16, 16))
    assert features.shape == (4, 8)
    torch.testing.assert_close(network(images), network.last(features))


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
