"""Features of real images are computed once if a frozen discriminator gets them without augmentation."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import new_trainer
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.networks import frozen
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine, real_features
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

STRATEGIES: dict[str, dict[str, Any]] = {
    "projected": {"width": 4},
    "vision-aided": {"width": 4, "warmup": 0},
}


def trainer_of(strategy: str, gan: gz.GAN, images: ImageData, **recipe: Any) -> Trainer:
    settings: dict[str, Any] = {"steps": 60, "batch": 4, "precision": "fp32", "loss": "hinge"} | recipe
    gan, strategy_ = copy.deepcopy(gan), build_strategy(strategy, STRATEGIES[strategy])
    return new_trainer(
        gan, strategy_, images, Recipe(**settings), engine.choose("cpu", settings["precision"])
    )


def network_of(trainer: Trainer) -> Any:
    return trainer.plan.modules.get("vision", trainer.networks["discriminator"])


def watched(trainer: Trainer) -> list[int]:
    """The number of images in each call of `extract`."""
    network, calls = network_of(trainer), list[int]()
    extract = network.extract

    def counting(images: Tensor) -> Any:
        calls.append(len(images))
        return extract(images)

    network.extract = counting
    return calls


@pytest.mark.parametrize("rounds", [1, 2])
@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_step_is_the_same_with_kept_features(
    strategy: str, rounds: int, gan: gz.GAN, images: ImageData
) -> None:
    kept, usual = (trainer_of(strategy, gan, images, accumulate=rounds) for _ in range(2))
    assert kept.game.known is not None
    usual.game.known = None
    calls = watched(kept)
    for step in range(3):
        index = torch.tensor([step, 39, 7, step + 20])
        losses, expected = (one.step(step, index) for one in (kept, usual))
        assert losses.keys() == expected.keys()
        for name, loss in losses.items():
            torch.testing.assert_close(loss, expected[name], rtol=1e-4, atol=1e-5)
    if rounds == 1:
        assert sorted(calls) == [4, 4, 4, 40], "only the features of fake images are computed in each step"
    else:
        assert len(images) not in calls, "a part of a batch is not looked up"


def test_features_are_computed_in_fixed_parts_and_again_after_a_change(
    gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(real_features, "PART", 16)
    trainer = trainer_of("projected", gan, images)
    calls, features, network = watched(trainer), trainer.game.known, network_of(trainer)
    assert features is not None
    found = features.at(network, torch.tensor([3, 39, 17]))
    assert calls == [16, 8, 16] or calls == [16, 16, 8]
    with torch.no_grad():
        expected = network.extract(to_float(images.images[[3, 39, 17]]))
    assert found is not None
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
    count = len(calls)
    features.at(network, torch.arange(40))
    assert len(calls) == count
    with torch.no_grad():
        next(network.mixing.parameters()).mul_(2)
    again = features.at(network, torch.tensor([3]))
    assert again is not None and len(calls) == count + 1 and not torch.equal(again[0], found[0][:1])


def test_they_are_kept_only_where_that_is_right(
    gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert trainer_of("projected", gan, images, aug="diffaugment").game.known is None
    assert trainer_of("projected", gan, images, steps=19).game.known is None, "each is used once"
    trainer = trainer_of("projected", gan, images)
    assert trainer.batches.index_of(images.images[:4]) is None
    monkeypatch.setattr(real_features, "LIMIT", 1)
    calls = watched(trainer)
    trainer.step(0, torch.arange(4))
    trainer.step(1, torch.arange(4))
    assert sorted(calls) == [4, 4, 4, 4, 40], "they would need too much memory"
    replaced = trainer_of("projected", gan, images, regularizer="apa")
    seen = watched(replaced)
    replaced.step(0, torch.arange(4))
    assert seen.count(4) == 2, "apa replaces some real images"


def test_a_resumed_run_continues_exactly(
    gan: gz.GAN, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings: dict[str, Any] = {
        "data": photos, "image_size": 28, "channels": 1, "strategy": "projected", "aug": "none", "steps": 14,
        "batch": 8, "precision": "fp32", "loss": "hinge", "metrics": "none", "checkpoint_every": 3,
        "strategy_config": {"width": 4}, "report": False,
    }  # fmt: skip
    source = gan.save(tmp_path / "source")
    whole = gz.transfer(source, out=tmp_path / "a", **settings)

    def ends(self: RunRecorder, done: int) -> None:
        if done == 8:
            raise OSError("the machine is gone")

    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_step", ends)
        with pytest.raises(OSError, match="the machine is gone"):
            gz.transfer(source, out=tmp_path / "b", **settings)
    (folder,) = (tmp_path / "b").iterdir()
    again = gz.resume(folder)
    assert isinstance(again, gz.GAN) and torch.equal(whole.generate(3), again.generate(3))


def test_a_step_does_not_copy_the_backbone_again(
    gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    copies: list[int] = []
    original = frozen.fast_copy

    def counting(*inputs: Any) -> Any:
        copies.append(1)
        return original(*inputs)

    monkeypatch.setattr(frozen, "fast_copy", counting)
    for strategy in STRATEGIES:
        copies.clear()
        trainer = trainer_of(strategy, gan, images, aug="diffaugment")
        for step in range(3):
            trainer.step(step, torch.arange(4))
        assert len(copies) == 1, strategy
