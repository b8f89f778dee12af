"""Losses that train no discriminator: it doesn't change, and nothing refers to it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, moved, state
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.metrics.shared import stem_digest
from gantl_zoo.registry.builtins import losses
from gantl_zoo.runs.choice import choose_recipe, few_images_advice, without_effect
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.recipe import Recipe

ALONE: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("config")} | {"loss": "mean-image"}


class MeanImage:
    """Moves the mean sample to the mean real image, in the feature space of a classifier."""

    adversarial = False

    def networks(self, image_shape: tuple[int, int, int]) -> list[nn.Module]:
        assert image_shape == (1, 28, 28)
        return [gz.load_model("cnn-mnist").backbone.requires_grad_(False)]  # type: ignore[union-attr]

    def generator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        return (real.mean(0) - fake.mean(0)).square().mean()


@pytest.fixture(autouse=True)
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(losses, "_own", dict(losses._own))
    gz.losses.register("mean-image")(MeanImage)


def test_a_loss_has_the_methods_that_it_needs() -> None:
    assert isinstance(build_loss("mean-image"), MeanImage)
    gz.losses.register("half", lambda: object())
    with pytest.raises(gz.PluginError, match="without the method discriminator and generator"):
        build_loss("half")
    gz.losses.register("none", type("Nothing", (), {"adversarial": False}))
    with pytest.raises(gz.PluginError, match="'none' is a Nothing, without the method generator"):
        build_loss("none")


@pytest.mark.parametrize("verb", ["train", "transfer"])
def test_only_the_generator_is_trained(gan: gz.GAN, images: ImageData, tmp_path: Path, verb: str) -> None:
    settings = ALONE | {"data": images, "out": tmp_path, "log_every": 1, "watch_every": 1}
    before = {role: state(getattr(gan, role)) for role in ("generator", "discriminator")}
    if verb == "train":
        networks: dict[str, Any] = {"generator_config": SMALL, "discriminator_config": {"width": 4}}
        made = gz.train("dcgan", **settings, **networks)
    else:
        made = gz.transfer(gan, **settings)
        assert moved(before["generator"], made.generator)
        assert not moved(before["discriminator"], made.discriminator)
    (folder,) = tmp_path.iterdir()
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()][1:]
    assert len(rows) == 6 and all({"generator", "diversity"} <= row.keys() for row in rows)
    assert not any({"discriminator", "saturation", "overfitting"} & row.keys() for row in rows)
    log = (folder / "log.txt").read_text()
    assert (
        "saturation" not in log and "--r1" not in log and "the loss mean-image trains no discriminator" in log
    )
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN) and torch.equal(again.generate(2), made.generate(2))


def test_a_resumed_run_equals_an_uninterrupted_one(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    class Stop(gz.Callback):
        def on_step(self, run: Any) -> None:
            if run.step == 4:
                raise KeyboardInterrupt

    whole = gz.transfer(gan, data=images, out=tmp_path / "whole", **ALONE)
    with pytest.raises((KeyboardInterrupt, gz.ZooError)):
        gz.transfer(gan, data=images, out=tmp_path / "part", callbacks=[Stop()], **ALONE)
    (part,) = (tmp_path / "part").iterdir()
    resumed = gz.resume(part, source=gan, data=images)
    assert torch.equal(resumed.generate(4), whole.generate(4))


def test_metrics_use_the_features_of_another_network(gan: gz.GAN, images: ImageData) -> None:
    run = prepare_transfer(gan, images, "full", {"loss": "mean-image", "steps": 3})
    assert stem_digest(gz.load_model("cnn-mnist").backbone) in run.monitor.backbones  # type: ignore[union-attr]


def test_auto_chooses_a_strategy_without_a_discriminator(gan: gz.GAN, images: ImageData) -> None:
    run = prepare_transfer(gan, images, "auto", {"loss": "mean-image"})
    recipe = run.job.recipe
    assert run.job.strategy == "full" and (recipe.aug, recipe.r1, recipe.lr) == ("none", 0.0, 8e-4)


@pytest.mark.parametrize("strategy", ["projected", "vision-aided"])
def test_a_strategy_that_brings_a_discriminator_is_refused(
    gan: gz.GAN, images: ImageData, tmp_path: Path, strategy: str
) -> None:
    with pytest.raises(
        gz.UsageError, match="brings a discriminator, or modules for it, which this loss does not train"
    ):
        gz.transfer(gan, data=images, strategy=strategy, out=tmp_path, **ALONE)
    assert not list(tmp_path.iterdir())


def test_a_conditional_generator_is_refused(images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match="the classes can't be learned: train without classes"):
        gz.train("dcgan", data=images, conditional=True, out=tmp_path, **ALONE)


def test_settings_without_an_effect_are_listed() -> None:
    assert without_effect(Recipe(aug="ada", r1=1.0)) == ""
    recipe = Recipe(loss="mean-image")
    assert without_effect(recipe) == "the loss mean-image trains no discriminator"
    given = Recipe(
        loss="mean-image", aug="ada", r1=1.0, discriminator_lr=1e-3, regularizer="latent-consistency+lecam"
    )
    assert without_effect(given).endswith("no effect: aug ada, discriminator_lr 0.001, r1, lecam")
    few = ImageData(torch.zeros(10, 1, 28, 28, dtype=torch.uint8))
    assert few_images_advice(recipe, few, None) == "" != few_images_advice(Recipe(), few, None)
    assert choose_recipe(recipe, ["aug", "r1"], few) == (recipe, "")
