"""Settings that move during a run: the curve, what they change, resume, and what is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, new_trainer, run

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.training import ema, engine
from gantl_zoo.training.preset_r3 import start_gamma
from gantl_zoo.training.presets import with_preset
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.training.schedule import values
from gantl_zoo.training.trainer import Trainer

FINAL = {"lr": 5e-5, "beta2": 0.99, "r1": 0.005, "ema_images": 5_000_000, "aug_p": 0.55}
R3GAN: dict[str, Any] = {
    "steps": 100, "lr": 2e-4, "beta2": 0.9, "r1": 0.05, "ema_images": 0,
    "aug": "ada", "aug_config": {"p": 0.0},
}  # fmt: skip

# R3GAN's schedule for CIFAR-10 after these shares of its 20 million images
PUBLISHED = {
    0: (2e-4, 0.9, 0.05, 0.0, 0.0),
    1: (0.00019996299202743, 0.9000222047835421, 0.049988897608229, 1233.599085671, 0.00013569589942381),
    25: (0.000178033008588991, 0.9131801948466054, 0.0434099025766973, 732233.0470336, 0.08054563517369945),
    50: (0.000125, 0.945, 0.0275, 2500000.0, 0.275),
    75: (7.196699141100895e-05, 0.9768198051533946, 0.0115900974233027, 4267766.95296637, 0.469454364826301),
    100: (5e-05, 0.99, 0.005, 5000000.0, 0.55),
    150: (5e-05, 0.99, 0.005, 5000000.0, 0.55),
}  # fmt: skip


@pytest.mark.parametrize("step", PUBLISHED)
def test_the_values_are_those_of_r3gan(step: int) -> None:
    assert list(values(Recipe(**R3GAN, final=FINAL), step).values()) == pytest.approx(
        list(PUBLISHED[step]), rel=1e-9
    )


def trainer_of(gan: gz.GAN, images: ImageData, **settings: Any) -> Trainer:
    """A trainer of a run of four steps with both penalties in each step."""
    recipe = Recipe(**R3GAN | {"steps": 4, "batch": 4, "precision": "fp32"} | settings)
    return new_trainer(gan, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))


def test_each_step_has_its_values(gan: gz.GAN, images: ImageData, monkeypatch: pytest.MonkeyPatch) -> None:
    every = {"r1.every": 1, "r2.every": 1, "r2.gamma": 0.1}
    settings = {"regularizer": "r2", "regularizer_config": every, "discriminator_lr": 4e-4, "final": FINAL}
    trainer = trainer_of(gan, images, **settings)
    spans: list[Any] = []
    monkeypatch.setattr(ema, "update", lambda *numbers: spans.append(numbers[3:]))
    for step in (2, 3, 2):  # a step that is repeated after a roll-back has the same values
        losses = trainer.step(step, torch.arange(4))
        lr, beta2, gamma, half_life, p = values(trainer.recipe, step).values()
        for player in trainer.contents.players:
            (group,) = player.optimizer.param_groups  # type: ignore[union-attr]
            ratio = 2 if player.role == "discriminator" else 1
            assert group["lr"] == pytest.approx(lr * ratio) and group["betas"] == (0.5, beta2)
        factors = {name: part.factor for name, part in trainer.game.regularizer.parts.items()}
        assert factors == pytest.approx({"r1": gamma / 2, "r2": gamma})  # r2 moves in proportion
        assert float(trainer.game.augment.p) == pytest.approx(p)  # type: ignore[arg-type]
        assert spans.pop() == ((step + 1) * 4, half_life) and {"r1", "r2"} <= set(losses)


def test_a_recipe_without_final_values_moves_nothing(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images, regularizer="r2", final={})
    assert trainer.move(3) == {}
    for player in trainer.contents.players:
        assert player.optimizer.param_groups[0]["lr"] == 2e-4  # type: ignore[union-attr]
        assert player.optimizer.param_groups[0]["betas"] == (0.5, 0.9)  # type: ignore[union-attr]
    assert {part.factor for part in trainer.game.regularizer.parts.values()} == {0.025}


def test_the_average_forgets_as_in_r3gan() -> None:
    """`ema_beta` of R3GAN after 200,000 images: 0.5 ** (512 / 1233.599085671)."""
    average, network = torch.nn.Linear(1, 1, bias=False), torch.nn.Linear(1, 1, bias=False)
    for half_life, kept in ((1233.599085671, 0.7499957351097454), (0.0, 0.0)):
        torch.nn.init.ones_(average.weight)
        torch.nn.init.zeros_(network.weight)
        ema.update(average, network, 512, 200_000, half_life)
        assert float(average.weight.detach()) == pytest.approx(kept)


def test_the_second_penalty_has_the_weight_of_the_first() -> None:
    assert [p.gamma for p in build_regularizer("r2", {}, 0.3).parts.values()] == [0.3, 0.3]
    parts = build_regularizer("r2", {"r2.gamma": 2.0}, 0.3).parts
    assert {name: part.gamma for name, part in parts.items()} == {"r1": 0.3, "r2": 2.0}
    assert build_regularizer("r2").parts["r2"].gamma == 1.0


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"final": {"lrr": 1e-4}}, "unknown final setting 'lrr'; did you mean lr"),
        ({"final": {"batch": 4}}, "unknown final setting 'batch'"),
        ({"final": {"lr": "low"}}, "final lr must be a number 0 or more, not 'low'"),
        ({"final": {"lr": -1}}, "final lr must be a number 0 or more, not -1"),
        ({"final": {"lr": float("nan")}}, "final lr must be a number 0 or more, not nan"),
        ({"final": {"beta2": 1.0}}, "final beta2 must be a number from 0 to below 1, not 1.0"),
        ({"final": {"aug_p": 0.3}}, "final aug_p needs an augmentation whose probability is fixed"),
        ({"final": {"aug_p": 0.3}, "aug": "ada"}, "pass aug ada, and its argument p"),
        ({"final": {"aug_p": 2}, "aug": "ada"}, "final aug_p must be a number from 0 to 1, not 2"),
        ({"final": {"r1": 0.1}}, "final r1 needs an r1 above 0"),
        ({"final": ["lr"]}, "final must be"),
    ],
)
def test_impossible_schedules_are_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(gz.UsageError, match=message):
        Recipe(**settings)


def test_a_resumed_run_continues_its_schedule(photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = TINY | {
        "data": photos, "image_size": 28, "r1": 0.5, "regularizer": "r2",
        "aug": "ada", "aug_config": {"p": 0},
        "final": {"lr": 1e-4, "beta2": 0.9, "r1": 0.1, "ema_images": 10, "aug_p": 0.4},
    }  # fmt: skip
    whole = gz.train("dcgan", out=tmp_path / "runs", **settings)
    assert whole.folder is not None
    folder = whole.folder.parent
    assert "--final lr=0.0001 --final beta2=0.9" in whole.about["training"]["command"]
    sorted((folder / "checkpoints").iterdir())[-1].rename(tmp_path / "aside")
    again = gz.train(resume=folder)
    for role in ("generator", "discriminator"):
        states = [getattr(gan, role).state_dict() for gan in (whole, again)]
        assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])


def test_final_values_on_the_command_line(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "dcgan", "--data", photos, "--image-size", 28, "--metrics", "none", "--dry-run"]
    code, out, _ = run(capsys, *words, "--final", "lr=5e-5", "--final", "beta2=0.9")
    assert code == 0 and "moving lr to 5e-05, beta2 to 0.9" in out
    code, _, err = run(capsys, *words, "--final", "beta=0.9")
    assert code == 2 and "unknown final setting 'beta'; did you mean beta2" in err


def test_the_preset_r3_starts_with_the_papers_gamma_and_can_be_changed() -> None:
    assert [start_gamma(size) for size in (32, 64, 256)] == [0.23, 2.0, 150.0]
    assert start_gamma(64, conditional=True) == 1.0
    settings = with_preset("r3", "train", {"steps": 10})
    recipe = Recipe.for_verb("train", **{k: v for k, v in settings.items() if k in vars(Recipe())})
    gammas = [part.gamma for part in trainer_parts(recipe)]
    assert gammas == [2.0, 2.0] and recipe.final["r1"] == 0.2 and recipe.beta1 == 0
    other = with_preset("r3", "train", {"aug": "diffaugment", "final": {"lr": 1e-5}})
    assert other["final"] == {"lr": 1e-5, "beta2": 0.99, "r1": 0.2, "ema_images": 32_000}
    Recipe.for_verb("train", **{k: v for k, v in other.items() if k in vars(Recipe())})


def test_a_value_that_is_given_does_not_move_in_a_preset() -> None:
    given = with_preset("r3", "train", {"r1": 0.05, "lr": 1e-5, "aug_config": {"p": 0.1}})
    assert given["final"] == {"beta2": 0.99, "ema_images": 32_000} and given["r1"] == 0.05
    without = with_preset("r3", "train", {"r1": 0.0})
    assert "r1" not in without["final"] and without["regularizer_config"] == {"r2.every": 1}
    recipe = Recipe.for_verb("train", **{k: v for k, v in without.items() if k in vars(Recipe())})
    assert [type(part).__name__ for part in trainer_parts(recipe)] == ["R2"]


def trainer_parts(recipe: Recipe) -> list[Any]:
    """The regularizers of a recipe."""
    return list(build_regularizer(recipe.regularizer, recipe.regularizer_config, recipe.r1).parts.values())
