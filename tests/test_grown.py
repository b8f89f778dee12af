"""Networks grown to images of another size: what they draw at first, what is trained, what is kept."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, check_report, moved, new_trainer, sized, state
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.model.sampling import latents
from gantl_zoo.networks.base import BlockGenerator
from gantl_zoo.networks.grown import sides_between
from gantl_zoo.networks.grown_blocks import enlarged, normalized, resampled
from gantl_zoo.networks.mapping import MappedGenerator
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe

SIZES = [(28, 30), (28, 32), (28, 64), (64, 128), (64, 32), (64, 256), (32, 28)]
OWN = ("backbone", "projected")  # fit images of another size themselves


def build(generator: str, discriminator: str, side: int, channels: int = 1, **config: Any) -> gz.GAN:
    """A small GAN whose added blocks, if it has any, have an effect. Skips sizes that the family lacks."""
    own: dict[str, Any] = {"width": 4, "latent_dim": 6, "image_size": side, "channels": channels} | config
    configs = {"generator_config": sized("generators", generator, **own)}
    configs["discriminator_config"] = sized("discriminators", discriminator)
    try:
        gan = gz.build_gan(generator, discriminator, **configs)
    except gz.UsageError as error:
        pytest.skip(str(error))
    return perturbed(gan)


def perturbed(gan: gz.GAN) -> gz.GAN:
    """The GAN with other weights, of which none is zero."""
    for network in (gan.generator, gan.discriminator):
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point() and "parametrizations" not in name:
                tensor.add_((torch.rand_like(tensor) - 0.5) * 0.2)
    return gan


def unclamped(gan: gz.GAN, psi: float = 1.0) -> Tensor:
    """Four images as the network draws them; `generate` clamps them to [-1, 1]."""
    return gan.synthesize(gan.truncate(gan.map(latents(range(4), gan.latent_dim)), psi)).detach()


def directly(images: Tensor, side: int) -> Tensor:
    """Images resampled by PyTorch alone."""
    if images.shape[-1] % side == 0:
        return nn.functional.avg_pool2d(images, images.shape[-1] // side)
    down = images.shape[-1] > side
    return nn.functional.interpolate(images, size=(side, side), mode="bilinear", antialias=down)


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("name", registry.generators.names())
def test_a_fitted_generator_draws_the_resampled_images_of_its_source(name: str, old: int, new: int) -> None:
    gan = build(name, "dcgan", old, 3)
    made, report = adapt(gan, (3, new, new))
    check_report(gan, made, report)
    before, after = unclamped(gan), unclamped(made)
    assert before.std() > 0.01 and (directly(before, new) - after).abs().max() < 1e-3
    kept = [m for m in report if m.role == "generator" and m.how in ("reused", "dropped")]
    assert [m.how for m in kept] == ["reused"] * len(gan.generator.state_dict()), "inner weights stay"


@pytest.mark.parametrize(("old", "new"), SIZES)
@pytest.mark.parametrize("name", [n for n in registry.discriminators.names() if n not in OWN])
def test_a_fitted_discriminator_gives_the_logits_of_resampled_images(name: str, old: int, new: int) -> None:
    gan = build("dcgan", name, old)
    made, report = adapt(gan, (1, new, new))
    check_report(gan, made, report)
    images = torch.rand(3, 1, new, new) * 2 - 1
    with torch.no_grad():
        torch.testing.assert_close(made.discriminator(images), gan.discriminator(directly(images, old)))


def test_the_logits_of_enlarged_images_are_nearly_those_of_the_source() -> None:
    gan = gz.load_model("dcgan-faces")
    made, _ = adapt(gan, (3, 128, 128))
    small = gan.generate(64)
    with torch.no_grad():
        before, after = gan.discriminator(small), made.discriminator(made.generate(64))
    assert torch.corrcoef(torch.stack([before, after]))[0, 1] > 0.9


@pytest.mark.parametrize("old", [28, 64])
def test_a_network_grown_twice_is_not_nested(old: int) -> None:
    gan = perturbed(adapt(build("resnet", "resnet", old), (1, 2 * old, 2 * old))[0])
    before = gan.generate(2)
    made, report = adapt(gan, (1, 8 * old, 8 * old))
    for role in ("generator", "discriminator"):
        config = made.parts[role]["config"]
        assert config[role] == "resnet" and config["sides"] == [[2 * old], [4 * old, 8 * old]]
        assert made.about["fitted"][role]["size"].endswith("; 2 blocks were added")
        assert {m.how for m in report if m.role == role} == {"reused", "fresh"}
    assert (directly(before, 8 * old) - made.generate(2)).abs().max() < 1e-3
    images = torch.rand(2, 1, 8 * old, 8 * old)
    with torch.no_grad():
        torch.testing.assert_close(
            made.discriminator(images), gan.discriminator(directly(images, 2 * old))
        )  # the source is a grown network, too


def test_back_to_the_size_before_drops_only_blocks_that_change_nothing() -> None:
    gan = build("dcgan", "dcgan", 64)
    grown, _ = adapt(gan, (1, 128, 128))
    back, report = adapt(grown, (1, 64, 64))
    assert back.parts["generator"]["name"] == back.parts["discriminator"]["name"] == "dcgan"
    assert torch.equal(back.generate(2), gan.generate(2))
    assert {m.tensor.split(".")[0] for m in report if m.how == "dropped"} == {"added"}
    note = "images of 64×64 are those of the network before it was grown; one block was dropped"
    assert back.about["fitted"]["generator"]["size"].startswith(note)
    smaller, _ = adapt(grown, (1, 32, 32))
    assert (directly(gan.generate(2), 32) - smaller.generate(2)).abs().max() < 1e-3
    between, _ = adapt(grown, (1, 96, 96))
    assert (directly(grown.generate(2), 96) - between.generate(2)).abs().max() < 1e-3
    kept, _ = adapt(perturbed(grown), (1, 64, 64))
    assert kept.parts["generator"]["config"]["sides"] == [[128]]
    assert (directly(grown.generate(2), 64) - kept.generate(2)).abs().max() < 1e-3
    assert "all blocks were kept" in kept.about["fitted"]["generator"]["size"]


def test_colours_classes_and_latents_of_a_grown_network_are_fitted() -> None:
    gan = perturbed(adapt(build("dcgan", "dcgan", 28), (1, 56, 56))[0])
    made, report = adapt(gan, (3, 56, 56), 9, 4)
    check_report(gan, made, report)
    noise, labels = torch.randn(3, 9), torch.tensor([0, 3, 1])
    images = made.decode(noise, labels)
    torch.testing.assert_close(images, gan.decode(noise[:, :6]).expand(-1, 3, -1, -1))
    with torch.no_grad():
        torch.testing.assert_close(made.discriminator(images, labels), gan.discriminator(images[:, :1]))
    assert made.num_classes == 4 and made.latent_dim == 9
    back, _ = adapt(made, (1, 56, 56), 6, 0)
    assert back.parts == gan.parts


def test_the_images_and_colours_change_at_once(tmp_path: Path) -> None:
    gan = gz.load_model("dcgan-mnist")
    made, _ = adapt(gan, (3, 64, 64), num_classes=3)
    expected = directly(gan.generate(3), 64).expand(-1, 3, -1, -1)
    assert (expected - made.generate(3, labels=[0, 1, 2])).abs().max() < 1e-3
    again: Any = gz.load_model(made.save(tmp_path / "grown"))
    assert torch.equal(again.generate(3), made.generate(3)) and again.parts == made.parts
    images, labels = torch.rand(2, 3, 64, 64), torch.tensor([0, 2])
    assert torch.equal(again.discriminator(images, labels), made.discriminator(images, labels))


@pytest.mark.parametrize("family", ["dcgan", "resnet", "resize-conv"])
def test_training_reaches_every_added_parameter(family: str, images: ImageData) -> None:
    other = "dcgan" if family == "resize-conv" else family
    gan = gz.build_gan(family, other, generator_config=SMALL | {"image_size": 32, "channels": 1})
    made, _ = adapt(gan, (1, 128, 128))
    before = {role: state(getattr(made, role)) for role in ("generator", "discriminator")}
    recipe = Recipe(steps=3, batch=4, precision="fp32", lr=1e-4, r1=0.1)
    strategy = registry.strategies.build("freeze-d", first=1)
    trainer = new_trainer(made, strategy, images.fit(128, 1), recipe, engine.choose("cpu", "fp32"))
    for step in range(3):
        trainer.step(step, torch.arange(4))
    changed = {role: moved(before[role], getattr(made, role)) for role in before}
    for role in ("generator", "discriminator"):
        names = {name for name, _ in getattr(made, role).named_parameters() if name.startswith("added.")}
        assert len(names) > 10 and names <= changed[role], (role, names - changed[role])


def test_a_transfer_to_larger_images_is_saved_and_resumed(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {key: value for key, value in TINY.items() if "config" not in key}
    settings |= {"data": photos, "image_size": 64, "strategy": "freeze-d", "aug": "ada"}
    made = gz.transfer(gan.save(tmp_path / "small"), out=tmp_path / "runs", **settings)
    assert made.folder is not None and made.parts["discriminator"]["name"] == "grown"
    again = gz.load_model(made.folder)
    assert torch.equal(again.generate(2), made.generate(2))
    (run,) = (tmp_path / "runs").iterdir()
    sorted((run / "checkpoints").iterdir())[-1].rename(tmp_path / "aside")
    assert torch.equal(gz.transfer(resume=run).generate(2), made.generate(2))
    further = gz.transfer(made.folder, out=tmp_path / "further", **settings | {"image_size": 128})
    assert further.parts["generator"]["config"]["sides"] == [[64], [128]]


class Mapped(nn.Module):
    """A generator with an intermediate latent space, not a chain of blocks."""

    num_classes = 0

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.latent_dim, self.image_shape = 6, (1, image_size, image_size)
        self.blocks = nn.ModuleList([nn.Linear(6, 8), nn.Linear(8, image_size**2)])

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        latents: Tensor = self.blocks[0](noise)
        return latents

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        return latents * psi

    def synthesize(self, latents: Tensor) -> Tensor:
        return torch.tanh(self.blocks[1](latents)).view(-1, *self.image_shape)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.map(noise))


class Unbounded(BlockGenerator):
    """A chain whose images leave [-1, 1]."""

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.latent_dim, self.image_shape = 6, (1, image_size, image_size)
        self.blocks = nn.ModuleList([Layer(6, 8 * 16), Layer(128, image_size**2)])

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return 3 * super().forward(noise, labels).view(-1, *self.image_shape)


class Layer(nn.Linear):
    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


@pytest.mark.parametrize("family", [Mapped, Unbounded])
def test_networks_of_any_kind_grow(family: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.generators, "_own", dict(registry.generators._own))

    @gz.generators.register("own")
    def own(*, image_size: int = 16) -> nn.Module:
        network: nn.Module = family(image_size)
        return network

    gan = gz.build_gan("own", "dcgan", generator_config={"image_size": 16}, discriminator_config={"width": 4})
    made, _ = adapt(gan, (1, 32, 32))
    assert isinstance(made.generator, MappedGenerator) == (family is Mapped)
    before, after = unclamped(gan, 0.5), unclamped(made, 0.5)
    assert (directly(before, 32) - after).abs().max() < 1e-3
    assert (before.abs().max() > 1) == (family is Unbounded)


def test_a_loss_of_the_inner_discriminator_is_passed_on(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(registry.discriminators, "_own", dict(registry.discriminators._own))

    @gz.discriminators.register("own")
    def own(*, image_size: int = 28, channels: int = 1) -> nn.Module:
        network = registry.discriminators.build("dcgan", image_size=image_size, channels=channels, width=4)
        network.self_supervised = lambda images: (network(images), {"mean": images.mean()})
        built: nn.Module = network
        return built

    gan = gz.build_gan("dcgan", "own", generator_config=SMALL)
    images = torch.rand(2, 1, 56, 56)
    logits, terms = adapt(gan, (1, 56, 56))[0].discriminator.self_supervised(images)
    torch.testing.assert_close(logits, gan.discriminator(directly(images, 28)))
    torch.testing.assert_close(terms["mean"], images.mean())


def test_a_backbone_from_a_grown_discriminator_is_that_of_its_inner_network(tmp_path: Path) -> None:
    gan = build("dcgan", "dcgan", 28)
    folder = adapt(gan, (1, 56, 56))[0].save(tmp_path / "grown")
    grown, plain = (
        gz.backbones.build("discriminator", of=str(place)) for place in (folder, gan.save(tmp_path / "plain"))
    )
    images = torch.rand(2, 1, 28, 28)
    torch.testing.assert_close(grown.embed(images), plain.embed(images))


@pytest.mark.parametrize(
    ("start", "end", "sides"),
    [
        (64, 128, [[128]]),
        (28, 32, [[32]]),
        (28, 64, [[64]]),
        (28, 256, [[56, 112, 256]]),
        (64, 96, [[96]]),
        (64, 64, []),
        (64, 32, []),
    ],
)
def test_each_added_block_about_doubles_the_size(start: int, end: int, sides: list[list[int]]) -> None:
    assert sides_between(start, end) == sides


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float32, torch.float64])
@pytest.mark.parametrize("side", [7, 12, 16, 24, 40])
def test_images_of_every_dtype_are_resampled(side: int, dtype: torch.dtype) -> None:
    images = (torch.rand(2, 3, 16, 16) * 2 - 1).to(dtype)
    small = resampled(images, side)
    assert small.shape == (2, 3, side, side) and small.dtype == dtype
    assert small.min() >= images.min() - 0.01 and small.max() <= images.max() + 0.01


def test_details_stay_in_range_and_have_a_gradient() -> None:
    image = torch.tensor([0.9, 1.2]).view(1, 1, 1, 2).expand(1, 1, 2, 2)
    details = torch.zeros(1, 1, 2, 2, requires_grad=True)
    drawn = enlarged(image, 2, details)
    assert torch.equal(drawn, image)
    drawn.sum().backward()
    assert details.grad is not None and bool((details.grad == 1).all())
    assert torch.equal(enlarged(image, 2, details + 5), torch.tensor([1.0, 1.2]).expand(1, 1, 2, 2))


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"sides": [[20]]}, r"sides must rise from the 28 pixels of the generator 'dcgan', not \[\[20\]\]"),
        ({"sides": [[56, 56]]}, "sides must rise"),
        ({"sides": [[]]}, "sides must rise"),
        ({"image_size": 0}, "image_size must be at least 1, not 0"),
        ({"generator_config": {"channels": 3}}, "channels of the generator 'dcgan' is 3, not 1"),
        ({"generator_config": {}, "width": 4}, "pass width in generator_config"),
        ({"generator": "resize-conv", "num_classes": 3}, "num_classes of the generator 'resize-conv' is 0"),
        ({"generator": "dcgam"}, "dcgan"),
    ],
)  # fmt: skip
def test_arguments_that_cant_be_met_are_refused(config: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gz.generators.build("grown", **config)


def test_old_folders_load_and_frozen_backbones_are_not_wrapped() -> None:
    gan = gz.build_gan("dcgan", "backbone", generator_config=SMALL, discriminator_config={"width": 4})
    made, _ = adapt(gan, (1, 64, 64))
    assert made.parts["discriminator"]["name"] == "backbone"
    assert made.parts["discriminator"]["config"]["image_size"] == 64
    assert "size" not in made.about["fitted"]["discriminator"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_features_are_normalized_in_half_precision(dtype: torch.dtype) -> None:
    maps = torch.tensor([0.0, 1e-4, 1e3], dtype=dtype)[:, None, None, None].repeat(1, 2, 2, 2)
    normal = normalized(maps)
    assert normal.dtype == dtype and normal.isfinite().all()
    torch.testing.assert_close(
        normal.float().mean((1, 2, 3)), torch.tensor([0.0, 0.707, 1.0]), rtol=0.02, atol=0
    )


@pytest.mark.parametrize(("sides", "size"), [([[65_536]], 65_536), ([[56]], 65_536), (None, 28)])
def test_a_config_can_not_ask_for_images_that_its_blocks_do_not_make(sides: Any, size: int) -> None:
    config = {"generator": "dcgan", "generator_config": {"width": 2, "image_size": 28}}
    build = partial(gz.generators.build, "grown", **config, sides=sides, image_size=size)
    if size > 28:
        with pytest.raises(gz.UsageError, match="at most 3 times the one before, and image_size at most"):
            build()
    else:
        assert build().image_shape == (1, 28, 28)
