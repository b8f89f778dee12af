"""Class-conditional training and transfer: labels stay with their images in every call and strategy, and
classes that can't be learned are refused.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, moved, new_trainer, state
from safetensors.torch import load_file
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData, load
from gantl_zoo.runs.pictures import picture
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

SETTINGS: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("_config")}


def pair(name: str = "dcgan", classes: int = 2) -> gz.GAN:
    made = {**SMALL, "image_size": 28, "channels": 1, "num_classes": classes}
    gan = gz.build_gan(name, generator_config=made, discriminator_config={"width": 4}, name="small")
    for module in gan.generator.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.bias)  # so that its classes differ already
    return gan


def trainer_of(gan: gz.GAN, strategy: gz.TransferStrategy, images: ImageData, **settings: Any) -> Trainer:
    recipe = Recipe(steps=3, batch=8, precision="fp32", r1=0.1, **settings)
    return new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))


@pytest.mark.parametrize("name", ["dcgan", "resnet"])
@pytest.mark.parametrize("strategy", [*registry.strategies.names(), "scale-shift latents"])
def test_every_strategy_trains_what_knows_classes_or_says_why_not(
    strategy: str, name: str, images: ImageData
) -> None:
    strategy, *switches = strategy.split()
    gan, method = pair(name), registry.strategies.build(strategy, **dict.fromkeys(switches, True))
    before = {role: state(getattr(gan, role)) for role in ("generator", "discriminator")}
    trainer = trainer_of(gan, method, images)
    for step in range(2):
        losses = trainer.step(step, torch.arange(8))
        assert all(loss.isfinite() for loss in losses.values())
    assert any(moved(tensors, getattr(gan, role)) for role, tensors in before.items())
    assert trainer.snapshot().generate(2, labels=[0, 1]).isfinite().all()


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("loss", ["non-saturating", "relativistic"])
def test_labels_are_those_of_the_images_in_every_call(images: ImageData, loss: str, rounds: int) -> None:
    """Images bright above are class 0, bright below class 1, in every batch of real and fake images."""
    seen: list[tuple[Tensor, Tensor]] = []

    class Spy(gz.TransferStrategy):
        def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
            labels = discriminator.labels  # type: ignore[attr-defined]
            seen.append((images.detach(), labels))
            assert discriminator.blocks is gan.discriminator.blocks, "all else is the network's own"
            return super().discriminate(discriminator, images, step)

        def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
            assert batch.labels is not None and len(batch.labels) == len(batch.real)
            again = batch.generator(batch.noise)
            torch.testing.assert_close(again, batch.fake)
            assert batch.discriminator(batch.real[:3]).shape == (3,)
            return super().generator_loss(adversarial, batch)

    gan = pair()
    trainer = trainer_of(gan, Spy(), images, loss=loss, accumulate=rounds)
    trainer.step(0, torch.tensor([0, 1, 2, 4, 6, 8, 9, 11]))
    assert len(seen) >= 3 * rounds
    for shown, labels in seen:
        assert len(shown) % len(labels) == 0
        real = shown[: len(labels)]
        if float(real.mean((1, 2, 3)).abs().max()) > 0.2:  # not the fakes of an untrained generator
            below = real[:, 0, 14:].mean((1, 2)) > real[:, 0, :14].mean((1, 2))
            assert torch.equal(below.long(), labels)


def test_unconditional_networks_are_met_as_they_are(gan: gz.GAN, images: ImageData) -> None:
    class Strict(gz.TransferStrategy):
        def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
            assert discriminator is gan.discriminator
            return super().discriminate(discriminator, images, step)

        def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
            assert batch.generator is gan.generator and batch.labels is None
            return super().generator_loss(adversarial, batch)

    trainer_of(gan, Strict(), images).step(0, torch.arange(8))


@pytest.mark.parametrize("streamed", [False, True])
def test_a_resumed_conditional_run_is_the_unbroken_one(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, streamed: bool
) -> None:
    def on_step(self: RunRecorder, done: int) -> None:
        if done == 5:
            raise OSError("the machine is gone")

    settings = TINY | {"data": photos, "image_size": 28, "conditional": True, "r1": 0.1}
    whole = gz.train("dcgan", out=tmp_path / "whole", **settings)
    assert (whole.num_classes, whole.discriminator.num_classes, whole.classes) == (2, 2, ["cats", "dogs"])
    assert "train dcgan --conditional --data" in whole.about["training"]["command"]
    assert "num_classes" not in whole.about["training"]["command"]
    if streamed:
        monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
        settings |= {"engine_config": {"workers": 0}}
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        patch.setattr(RunRecorder, "on_step", on_step)
        gz.train("dcgan", out=tmp_path / "broken", **settings)
    (run,) = (tmp_path / "broken").iterdir()
    resumed = gz.train(data="", resume=run)
    assert torch.equal(whole.generate(6), resumed.generate(6))
    one, other = (
        load_file(checkpoint.saved(path)[-1] / "state.safetensors")
        for path in (whole.folder.parent, run)  # type: ignore[union-attr]
    )
    assert one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


def test_a_transfer_takes_classes_up_keeps_and_leaves_them(
    gan: gz.GAN, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, settings = gan.save(tmp_path / "small"), SETTINGS | {"data": photos, "channels": 1}
    conditional = gz.transfer(source, conditional=True, out=tmp_path / "runs", **settings)
    (run,) = (tmp_path / "runs").iterdir()
    notes = conditional.lineage["fitted"]["discriminator"]["fresh"]
    assert conditional.num_classes == 2 and notes == {"blocks.2.classes.weight": "zero for each of 2 classes"}
    assert "blocks.0.norm.weight: adapted (the same for each of 2 classes)" in (run / "log.txt").read_text()
    assert f"transfer {source} --conditional" in conditional.about["training"]["command"]
    before, newest = conditional.generate(4), checkpoint.saved(run)[-1]
    newest.rename(tmp_path / "aside")
    assert torch.equal(gz.transfer("", data="", resume=run).generate(4), before)

    assert conditional.folder is not None
    left = gz.transfer(conditional, conditional=False, out=tmp_path / "left", **settings)
    assert left.num_classes == left.discriminator.num_classes == 0
    assert left.lineage["fitted"]["generator"]["adapted"]["blocks.0.norm.bias"] == "mean of 2 classes"
    one = gz.transfer(conditional.folder, out=tmp_path / "one", **settings | {"data": f"{photos}:dogs"})
    assert one.num_classes == 1 and one.classes == ["dogs"]
    assert "1 of 1 classes by name" in one.lineage["fitted"]["generator"]["adapted"].values()
    same = gz.transfer(conditional, out=tmp_path / "same", compare_scratch=True, **settings)
    assert same.num_classes == 2 and "fitted" not in same.lineage

    with pytest.raises(SystemExit) as stop:
        main(
            ["transfer", str(source), "--data", str(photos), "--channels", "1", "--conditional", "--dry-run"]
        )
    said = " ".join(capsys.readouterr().out.split())
    assert not stop.value.code and "fresh (zero for each of 2 classes)" in said


def test_data_without_labels_is_explained(
    gan: gz.GAN, images: ImageData, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bare = ImageData(images.images, None, (), "bare")
    settings = SETTINGS | {"data": bare, "out": tmp_path}
    with pytest.raises(gz.DataError, match="--conditional needs classes, but bare has no labels: sort its"):
        gz.train("dcgan", conditional=True, **settings)
    with pytest.raises(gz.DataError, match=r"small has 2 classes, but bare has no labels.*--unconditional"):
        gz.transfer(pair(), **settings)
    with pytest.raises(gz.DataError, match=r"--conditional needs classes.*or leave --conditional out"):
        gz.transfer(gan, conditional=True, **settings)
    with pytest.raises(gz.DataError, match="dcgan has 3 classes, but halves has 2; --conditional takes"):
        gz.train("dcgan", generator_config=SMALL | {"num_classes": 3}, **settings | {"data": images})
    assert gz.transfer(pair(), conditional=False, **settings).num_classes == 0
    assert len(list(tmp_path.iterdir())) == 1, "what can't be has no run folder"


def test_classes_that_nobody_would_teach_or_learn_are_refused(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    settings = SETTINGS | {"data": images, "out": tmp_path}
    with pytest.raises(gz.UsageError, match=r"has 2 classes, but its discriminator Backbone.*has 0"):
        gz.train("dcgan", discriminator="backbone", conditional=True, **settings)
    assert not list(tmp_path.iterdir())
    fitted, _ = adapt(gan, (1, 28, 28), num_classes=2)
    with pytest.raises(gz.UsageError, match="the generator treats all classes alike, and this strategy"):
        trainer_of(fitted, registry.strategies.build("partial", last=1), images)

    class Headless(gz.TransferStrategy):
        def learns(self, network: nn.Module, role: str) -> list[nn.Module]:
            return list(network.blocks)[:-1] if role == "discriminator" else list(network.blocks)  # type: ignore[arg-type]

    with pytest.raises(gz.UsageError, match="the discriminator treats all classes alike"):
        trainer_of(replace(fitted, about={}), Headless(), images)
    trainer_of(fitted, Headless(), images)  # its classes are known to be fresh, so they learn
    trainer_of(pair(), registry.strategies.build("partial", last=1), images)  # its classes differ already
    assert fitted.generator.training is False


def test_it_learns_which_class_is_which(images: ImageData) -> None:
    """Bright above or below, as asked for, after some steps of a tiny network."""
    torch.manual_seed(3)
    gan = gz.build_gan(
        "dcgan", generator_config={**SMALL, "width": 8, "num_classes": 2}, discriminator_config={"width": 8}
    )
    recipe = Recipe(steps=80, batch=16, precision="fp32", lr=2e-3, ema_images=100)
    trainer = new_trainer(gan, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))
    for step in range(recipe.steps):
        trainer.step(step, torch.randperm(40)[:16])
    made, labels = trainer.snapshot(), [i % 2 for i in range(32)]
    shown = made.generate(32, labels=labels)
    below = shown[:, 0, 14:].mean((1, 2)) > shown[:, 0, :14].mean((1, 2))
    assert (below.long() == torch.tensor(labels)).float().mean() > 0.9
    assert picture(made).size[0] >= 28 * 32, "a row for each class"


def test_a_class_is_sampled_by_its_number(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = pair().save(tmp_path / "small")
    for label, code in (("1", 0), ("2", 2)):
        with pytest.raises(SystemExit) as stop:
            main(
                ["sample", str(folder), "--seeds", "0-3", "--class", label, "--out", str(tmp_path / "it.png")]
            )
        assert bool(stop.value.code) == bool(code)
    assert "small has the 2 classes 0, 1; there is no class 2" in capsys.readouterr().err
    assert json.loads((folder / "config.json").read_text())["generator"]["config"]["num_classes"] == 2


def test_metrics_of_a_conditional_run_know_the_classes(photos: Path, tmp_path: Path) -> None:
    held_out = load(photos, split="test", image_size=28)
    assert held_out.labels is not None and len(held_out) >= 2
    settings = TINY | {
        "data": photos,
        "image_size": 28,
        "conditional": True,
        "metrics": ("kd",),
        "watch_every": 2,
    }
    made = gz.train("dcgan", out=tmp_path, samples=20, extractor="pixels", **settings)
    assert made.about["metrics"][0]["metric"] == "kd"
    assert gz.evaluate(made, data=photos, metrics=("kd",), samples=20, extractor="pixels")["kd"] is not None
