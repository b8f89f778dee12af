"""`scale-shift` with a latent for each image: it reconstructs the images without a discriminator."""

from __future__ import annotations

import sys
from dataclasses import replace

import pytest
import torch
from helpers import SMALL, moved, new_trainer, state

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.strategy.scale_shift import Reconstruction, normal_gap
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

scale_shift = sys.modules[Reconstruction.__module__]  # `gantl_zoo.strategy` is a function, too

STEPS = 40


def trainer_of(gan: gz.GAN, images: ImageData, lr: float = 1e-2) -> Trainer:
    recipe = Recipe(steps=STEPS, batch=8, precision="fp32", lr=lr)
    strategy = build_strategy("scale-shift", {"latents": True})
    return new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))


def test_only_norms_and_latents_move_and_the_images_are_painted_better() -> None:
    gan = gz.load_model("dcgan-mnist")
    images = ImageData(to_uint8(gan.generate(8)))  # such as it could paint
    before = {role: state(getattr(gan, role)) for role in ("generator", "discriminator")}
    trainer = trainer_of(gan, images)
    latents = trainer.plan.modules["scale-shift"].latents[0].detach().clone()
    losses = [trainer.step(step, torch.arange(8)) for step in range(STEPS)]
    assert set(losses[0]) == {"pixels", "features", "latents"}, "the discriminator's loss is not there"
    assert losses[-1]["pixels"] < 0.8 * losses[0]["pixels"]
    assert not moved(before["discriminator"], gan.discriminator)
    assert all(".norm." in name for name in moved(before["generator"], gan.generator))
    assert (trainer.plan.modules["scale-shift"].latents[0] - latents).abs().amin(1).gt(0).all()


def test_the_eye_and_the_images_rest(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images)
    reconstruction = trainer.plan.modules["scale-shift"]
    seen = state(reconstruction.eye)
    trainer.step(0, torch.arange(8))
    assert not moved(seen, reconstruction.eye) and torch.equal(reconstruction.pixels, images.images)
    alone = Reconstruction(replace(gan, discriminator=None), images)
    pixels, features, _ = alone(gan.generator, 4)
    assert alone.eye is None and features == 0 and pixels > 0


def test_the_gap_is_none_for_a_normal_distribution_and_known_for_a_shifted_one() -> None:
    torch.manual_seed(0)
    normal = torch.randn(4000, 8)
    assert normal_gap(normal) < 0.01
    assert normal_gap(2 * normal) == pytest.approx(1.0, rel=0.1)  # (2σ - σ)²
    shifted = normal + torch.tensor([3.0, *[0.0] * 7])
    assert normal_gap(shifted) == pytest.approx(9 / 8, rel=0.5)  # the mean over directions of (3 cos)²


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"latents": True, "network": "both"}, "latents=true trains only the generator"),
        ({"latents": True, "rate": 0}, "rate positive"),
        ({"perceptual": -1}, "must be at least 0"),
    ],
)
def test_wrong_settings(config: dict[str, object], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        build_strategy("scale-shift", config)


def test_features_need_a_discriminator_that_shows_its_maps(images: ImageData) -> None:
    frozen = {"width": 4, "backbone": "cnn", "freeze": True}
    gan = gz.build_gan("dcgan", "backbone", generator_config=SMALL, discriminator_config=frozen)
    with pytest.raises(gz.UsageError, match=r"scale-shift: .* backbone of its own.*, or pass perceptual=0"):
        trainer_of(gan, images)
    strategy = build_strategy("scale-shift", {"latents": True, "perceptual": 0.0})
    assert list(strategy.prepare(gan, gan, images).groups) == ["generator"]


def test_too_many_images_for_latents(gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scale_shift, "LIMIT", 10)
    with pytest.raises(gz.UsageError, match="up to 10 images, not 40; take fewer with --shots"):
        trainer_of(gan, images)
