"""PacGAN's discriminator of packs: which images share a pack, penalties, training, what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, new_trainer
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.strategy.base import Batch
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import engine
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.combined import build_regularizer


def build(**config: Any) -> Any:
    return gz.discriminators.build("packed", **{"width": 4} | config)


def gan(**config: Any) -> gz.GAN:
    made = {**SMALL, "image_size": 28, "channels": 1}
    return gz.build_gan("dcgan", "packed", generator_config=made, discriminator_config={"width": 4} | config)


@pytest.mark.parametrize("channels", [1, 3])
def test_successive_images_are_a_pack_and_share_its_logit(channels: int) -> None:
    network = build(pack=3, channels=channels)
    assert network.image_shape == (channels, 28, 28) and network.inner.image_shape == (3 * channels, 28, 28)
    images = torch.rand(6, channels, 28, 28)
    logits = network(images)
    expected = network.inner(torch.stack([torch.cat(list(images[:3])), torch.cat(list(images[3:]))]))
    torch.testing.assert_close(logits, expected.repeat_interleave(3))
    assert not torch.equal(logits[:3], network(images[[0, 1, 4, 3, 2, 5]])[:3]), "the others matter"


@pytest.mark.parametrize("count", [1, 2, 4, 5])
def test_the_first_images_complete_the_last_pack(count: int) -> None:
    network, images = build(pack=3), torch.rand(count, 1, 28, 28)
    filled = torch.cat([images] * 3)[: -(-count // 3) * 3]
    torch.testing.assert_close(network(images), network(filled)[:count])
    assert network(images).shape == (count,)


def test_logits_of_places_are_those_of_the_pack() -> None:
    network = build(discriminator="fast", image_size=32, channels=3).eval()
    images = torch.rand(4, 3, 32, 32)
    logits = network(images)
    assert logits.shape == (4, 25) and torch.equal(logits[0], logits[1])
    again, terms = network.self_supervised(images)
    assert torch.equal(again, logits) and terms["reconstruction"] > 0


@pytest.mark.parametrize("side", [28, 56])
def test_no_pack_mixes_real_and_fake_images(side: int, images: ImageData) -> None:
    """One batch of 4 real and 4 fake images would mix them in packs of 3."""
    made = adapt(gan(pack=3), (1, side, side))[0]
    packed: Any = made.discriminator if side == 28 else made.discriminator.inner  # type: ignore[union-attr]
    recipe = Recipe(steps=1, batch=4, precision="fp32", loss="relativistic", r1=0.1)
    shown = images.fit(side, 1)
    trainer = new_trainer(made, build_strategy("full", {}), shown, recipe, engine.choose("cpu", "fp32"))
    batches: list[Tensor] = []
    packed.register_forward_pre_hook(lambda module, given: batches.append(given[0].detach()))
    trainer.step(0, torch.arange(4))
    assert [len(batch) for batch in batches] == [4, 4, 4, 4, 4], "D: both and R1; G: both"


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_a_penalty_is_that_of_packs_with_a_multiple_of_the_weight(name: str) -> None:
    network = build(pack=3).double()
    real, fake = torch.rand(2, 6, 1, 28, 28, dtype=torch.float64)
    noise = torch.zeros(6, 8)
    batch: Any = Batch(0, real, noise, fake, network, network)
    part = build_regularizer(name, {f"{name}.gamma": 0.5, f"{name}.every": 1})
    found = part.discriminator(Critic(network, together=False), batch)[name]
    packs = network.packs(real if name == "r1" else fake).requires_grad_()
    (slope,) = torch.autograd.grad(network.inner(packs).sum(), packs)
    torch.testing.assert_close(found.detach(), 3 * 0.5 / 2 * slope.square().sum((1, 2, 3)).mean())


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"pack": 0}, "packed: pack must be at least 1, not 0"),
        ({"num_classes": 3}, "packed is unconditional: leave num_classes=3 out"),
        ({"discriminator": "projected"}, "backbone of 'projected' takes single images, not packs"),
        ({"discriminator": "dcgam"}, "unknown discriminator 'dcgam'; did you mean dcgan"),
        ({"witdh": 4}, "discriminator 'dcgan' takes no argument 'witdh'; did you mean width"),
        ({"discriminator_config": {"norm": "batch"}}, "packed: pass width in discriminator_config"),
        ({"image_size": 30}, "dcgan: image_size 30 is not"),
    ],
)
def test_what_it_refuses(config: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.ZooError, match=text):
        build(**config)


def test_channels_belong_to_the_pack_not_to_the_inner_network() -> None:
    with pytest.raises(gz.UsageError, match="packed: pass channels beside discriminator_config, not in it"):
        gz.discriminators.build("packed", discriminator_config={"channels": 2})
    nested = gz.discriminators.build(
        "packed", discriminator="packed", pack=2, discriminator_config={"pack": 3}
    )
    assert nested.inner.inner.image_shape == (6, 28, 28) and nested(torch.rand(7, 1, 28, 28)).shape == (7,)


def test_classes_are_refused(images: ImageData) -> None:
    made = gz.build_gan("dcgan", "packed", generator_config=SMALL | {"num_classes": 2})
    recipe, machine = Recipe(steps=1, batch=4, precision="fp32"), engine.choose("cpu", "fp32")
    with pytest.raises(gz.UsageError, match="PackedDiscriminator has 0, so the classes can't be learned"):
        new_trainer(made, build_strategy("full", {}), images, recipe, machine)


def test_colours_and_sizes_are_fitted() -> None:
    source = gan(pack=3)
    made, _ = adapt(source, (3, 56, 56))
    images = torch.rand(6, 1, 28, 28)
    large = images.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
    with torch.no_grad():
        torch.testing.assert_close(made.discriminator(large), source.discriminator(images))
        back, _ = adapt(made, (1, 28, 28))
        torch.testing.assert_close(back.discriminator(images), source.discriminator(images))
    assert back.parts == source.parts


@pytest.mark.parametrize("inner", ["dcgan", "fast"])
def test_it_trains_saves_and_is_a_source(inner: str, photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"data": photos, "image_size": 32, "channels": 1, "loss": "hinge", "r1": 0.1}
    settings["discriminator_config"] = {"width": 4, "pack": 3, "discriminator": inner}
    made = gz.train("dcgan", discriminator="packed", out=tmp_path, **settings)
    assert made.folder is not None
    again, shown = gz.load_model(made.folder), made.generate(5)
    assert torch.equal(again.discriminator(shown), made.discriminator(shown))
    stats = (made.folder.parent / "stats.jsonl").read_text()
    assert ('"reconstruction"' in stats) == (inner == "fast")
    settings = {key: value for key, value in settings.items() if not key.endswith("_config")}
    moved = gz.transfer(made, out=tmp_path, **settings | {"image_size": 64, "channels": 3})
    assert moved.discriminator.inner.pack == 3 and moved.discriminator(moved.generate(2)).isfinite().all()
