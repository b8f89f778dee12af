"""What a run does when its numbers explode or its samples become all alike."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, moved, new_trainer, order_of, state
from safetensors.torch import load_file
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.metrics.extractors import PixelFeatures
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import Batch, Plan
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.guard import not_finite
from gantl_zoo.training.health import HealthMonitor, Signs
from gantl_zoo.training.pace import Pace
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer


class Explodes(gz.TransferStrategy):
    """Full fine-tuning whose generator loss is not finite in the given steps."""

    def __init__(self, steps: Any, value: float = float("nan")) -> None:
        self.steps, self.value = steps, value

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        wrong = self.value if batch.step in self.steps else 1.0
        return {"generator": adversarial * wrong}


def trainer_of(gan: gz.GAN, images: ImageData, strategy: gz.TransferStrategy, **settings: Any) -> Trainer:
    recipe = Recipe(**{"steps": 4, "batch": 4, "precision": "fp32"} | settings)
    machine = engine.choose("cpu", recipe.precision, recipe.engine_config)
    return new_trainer(gan, strategy, images, recipe, machine)


@pytest.mark.parametrize("optimizer", ["fused", "plain"])
@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_step_that_is_not_finite_is_skipped_and_counted(
    gan: gz.GAN, images: ImageData, optimizer: str, value: float
) -> None:
    strategy = Explodes({1}, value)
    trainer = trainer_of(gan, images, strategy, engine_config={"optimizer": optimizer})
    with seeded(0):
        for step, index in enumerate(order_of(len(images), trainer.recipe, 0)):
            before = state(trainer.gan.generator)
            trainer.step(step, index)
            changed = moved(before, trainer.gan.generator)
            assert (not changed - {n for n in changed if n.endswith("tracked")}) is (step == 1)
            assert int(trainer.guard.in_a_row) == (step == 1)
    assert int(trainer.guard.skipped) == 1
    for network in (trainer.average, trainer.gan.discriminator):
        assert all(tensor.isfinite().all() for tensor in network.state_dict().values())


def test_a_player_that_rests_after_a_failure_has_not_failed_again(gan: gz.GAN, images: ImageData) -> None:
    class Rests(Explodes):
        def on_step(self, step: int, plan: Any) -> None:
            plan.groups["generator"][0].active = step == 0

    trainer = trainer_of(gan, images, Rests({0}))
    for step in range(3):
        trainer.step(step, torch.arange(4))
    assert int(trainer.guard.skipped) == 1 and int(trainer.guard.in_a_row) == 0


def test_statistics_that_were_poisoned_are_restored(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images, gz.TransferStrategy())
    before = state(trainer.gan.generator)
    with torch.no_grad():
        bias = trainer.gan.generator.blocks[0].norm.bias
        kept = bias.clone()
        bias[0] = float("inf")  # every statistic behind it becomes NaN
    trainer.step(0, torch.arange(4))
    with torch.no_grad():
        bias.copy_(kept)
    assert int(trainer.guard.skipped) == 1
    assert {name for name in moved(before, trainer.gan.generator) if "running" in name} == set()


def test_half_precision_keeps_the_scale_of_its_losses(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    machine = engine.Engine(torch.device("cpu"), "fp16")  # choose() refuses a CPU, which is slow at it
    trainer = new_trainer(gan, gz.TransferStrategy(), images, Recipe(steps=3, batch=4), machine)
    before = state(trainer.gan.generator)
    with seeded(0):
        for step, index in enumerate(order_of(len(images), trainer.recipe, 0)):
            trainer.step(step, index)
    assert moved(before, trainer.gan.generator)
    trainer.game.generator.scaler.update(128.0)
    checkpoint.save(tmp_path, trainer.contents, {"step": 3})
    other = new_trainer(gan, gz.TransferStrategy(), images, Recipe(steps=3, batch=4), machine)
    checkpoint.restore(tmp_path, other.contents)
    assert other.game.generator.scaler.get_scale() == 128.0


STEADY = {k: v for k, v in TINY.items() if not k.endswith("config")} | {
    "log_every": 1, "checkpoint_every": 2, "skip_limit": 2, "lr": 1e-3, "steps": 8,
}  # fmt: skip


def test_an_explosion_goes_back_with_half_the_rate(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    """The strategy explodes at steps 4 and 5 at the full rate only, as a real one would."""

    class AtFullRate(Explodes):
        def on_step(self, step: int, plan: Any) -> None:
            self.steps = {4, 5} if "back to step 4" not in log() else ()

    def log() -> str:
        return next(tmp_path.glob("*/log.txt")).read_text()

    gz.transfer(gan, data=images, strategy=AtFullRate(()), out=tmp_path, **STEADY)
    assert "the loss of generator was not finite in the last 2 steps: back to step 4" in log()
    assert "with learning rates times 0.5" in log()
    rows = [json.loads(line) for line in next(tmp_path.glob("*/stats.jsonl")).read_text().splitlines()]
    assert [row["step"] for row in rows] == [0, 1, 2, 3, 4, 5, 6, 7, 8]
    (newest,) = tmp_path.glob("*/checkpoints/00000008/state.json")
    assert json.loads(newest.read_text())["rollbacks"] == 1


def test_an_explosion_that_comes_back_ends_with_a_diagnosis(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    with pytest.raises(gz.TrainingError, match=r"generator was not finite .* after 2 roll-backs .*--lr"):
        gz.transfer(
            gan, data=images, strategy=Explodes(range(3, 99)), out=tmp_path, **STEADY | {"rollback_limit": 2}
        )
    log = next(tmp_path.glob("*/log.txt")).read_text()
    assert log.count("back to step 3") == 2 and "times 0.25" in log
    row = json.loads(next(tmp_path.glob("*/stats.jsonl")).read_text().splitlines()[-1])
    assert row["generator"] is None and row["skipped"] >= 1


class OneImage(nn.Module):
    """A collapsed generator."""

    latent_dim = 8

    def forward(self, noise: Tensor) -> Tensor:
        return torch.zeros(len(noise), 1, 28, 28) + 0.001 * noise[:, :1, None, None]


def watch_of(images: ImageData, held_out: Tensor | None = None) -> HealthMonitor:
    extractor = PixelFeatures.fit(images)
    return HealthMonitor(lambda shown: extractor(shown)[0], images.images, held_out)


def bright(images: Tensor) -> Tensor:
    return images.mean((1, 2, 3)) + 0.5


def test_a_collapsed_generator_is_seen_and_a_diverse_one_left_alone(gan: gz.GAN, images: ImageData) -> None:
    watch = watch_of(images)
    collapsed = watch.look(OneImage(), bright, torch.device("cpu"))
    assert collapsed.diversity < 0.05
    assert watch.collapse(collapsed).startswith("the samples are only 0.0")
    assert not watch.sure(100), "a fresh generator may be all alike"
    assert watch.sure(5_000)
    assert watch.collapse(Signs(diversity=0.9, saturation=0.6, overfitting=None)) == ""
    assert watch.sure(200), "it has been diverse before"


def test_saturation_and_overfitting_are_seen(images: ImageData) -> None:
    """The discriminator has memorised the training images and rejects all others."""
    known = {tuple(image.flatten().tolist()) for image in images.images}

    def by_heart(seen: Tensor) -> Tensor:
        pixels = ((seen + 1) * 127.5).round().to(torch.uint8)
        return torch.tensor([1.0 if tuple(p.flatten().tolist()) in known else -1.0 for p in pixels])

    watch = watch_of(images, held_out=255 - images.images)
    signs = watch.look(OneImage(), by_heart, torch.device("cpu"))
    assert signs.saturation == 1.0 and signs.overfitting == 1.0
    unsure = watch_of(images, held_out=images.images).look(OneImage(), bright, torch.device("cpu"))
    assert unsure.overfitting is None or abs(unsure.overfitting) < 1e-5


def collapses(monkeypatch: pytest.MonkeyPatch, when: Mapping[int, str]) -> None:
    from gantl_zoo.runs.recorder import RunRecorder

    seen = dict(when)
    monkeypatch.setattr(RunRecorder, "on_watch", lambda self, step, trainer: seen.pop(step, ""))


@pytest.mark.parametrize("action", ["warn", "rollback", "stop"])
def test_a_collapse_is_answered_as_the_recipe_says(
    gan: gz.GAN, images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    collapses(monkeypatch, {5: "all samples alike"})
    settings = STEADY | {"watch_every": 1, "on_collapse": action}
    if action == "stop":
        with pytest.raises(gz.TrainingError, match="stopped at step 5: all samples alike"):
            gz.transfer(gan, data=images, out=tmp_path, **settings)
        return
    gz.transfer(gan, data=images, out=tmp_path, **settings)
    log = next(tmp_path.glob("*/log.txt")).read_text()
    assert ("all samples alike: back to step 4" in log) is (action == "rollback")


def test_a_rollback_passes_over_checkpoints_that_nobody_has_looked_at(
    gan: gz.GAN, images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A collapse that is seen at step 12 may have begun before the checkpoints 9 to 12 were written."""
    kept: list[list[int]] = []
    restore = checkpoint.restore
    monkeypatch.setattr(
        checkpoint,
        "restore",
        lambda folder, *rest: (
            kept.append([int(p.name) for p in checkpoint.saved(folder)]) or restore(folder, *rest)  # type: ignore[func-returns-value]
        ),
    )
    collapses(monkeypatch, {12: "all samples alike"})
    settings = STEADY | {"steps": 14, "watch_every": 4, "checkpoint_every": 1, "on_collapse": "rollback"}
    gz.transfer(gan, data=images, out=tmp_path, **settings)
    assert "all samples alike: back to step 8" in next(tmp_path.glob("*/log.txt")).read_text()
    assert kept == [[8]], "what was written after the last good look is gone"


def test_what_the_watch_sees_is_logged_and_changes_nothing(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"data": photos, "image_size": 28, "channels": 1, "log_every": 2}
    plain = gz.train("dcgan", out=tmp_path / "a", **settings | {"watch_every": 100})
    seen = gz.train("dcgan", out=tmp_path / "b", **settings | {"watch_every": 2})
    assert torch.equal(plain.generate(2), seen.generate(2))
    lines = next((tmp_path / "b").glob("*/stats.jsonl")).read_text().splitlines()
    assert {"diversity", "saturation"} <= json.loads(lines[-1]).keys()


class Poisons(gz.TransferStrategy):
    """Writes a number that is not finite into a network, past the gradients."""

    def __init__(self, where: str, since: int) -> None:
        self.where, self.since, self.step = where, since, 0

    def on_step(self, step: int, plan: Any) -> None:
        self.step = step
        self.network = {"generator": self.target.generator}.get(self.where, self.target.discriminator)

    def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> Plan:
        self.target = target
        return super().prepare(source, target, data)

    @torch.no_grad()
    def after_step(self, phase: str) -> None:
        if phase == "generator" and self.step >= self.since:  # after both gradients
            tensors = [*(self.network.buffers() if self.where == "buffer" else self.network.parameters())]
            next(tensor for tensor in tensors if tensor.is_floating_point())[0] = float("nan")


@pytest.mark.parametrize("where", ["generator", "discriminator"])
def test_weights_that_are_not_finite_end_a_run_and_are_never_saved(
    gan: gz.GAN, images: ImageData, tmp_path: Path, where: str
) -> None:
    settings = STEADY | {"log_every": 2, "rollback_limit": 1, "steps": 6}
    with pytest.raises(
        gz.TrainingError,
        match=rf"weights of .*{where}.* not finite, .*after 1 roll-backs .*--lr",
    ):
        gz.transfer(gan, data=images, strategy=Poisons(where, since=3), out=tmp_path, **settings)
    (run,) = tmp_path.iterdir()
    assert "back to step 3 with learning rates times 0.5" in (run / "log.txt").read_text()
    for path in checkpoint.saved(run):
        assert all(tensor.isfinite().all() for tensor in load_file(path / "state.safetensors").values())
    assert gz.load_model(run).about["training"]["best_step"] == int(checkpoint.saved(run)[-1].name) == 3


def test_a_rate_that_is_much_too_high_is_no_success(images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.TrainingError, match=r"not finite.*, after 3 roll-backs"):
        gz.train("dcgan", data=images, out=tmp_path, **TINY | {"lr": 1e30})


def test_finite_weights_whose_samples_are_not_are_noticed(gan: gz.GAN, images: ImageData) -> None:
    trainer = trainer_of(gan, images, gz.TransferStrategy())
    assert trainer.non_finite() == ""
    with torch.no_grad():
        for parameter in trainer.average.parameters():
            parameter.copy_(parameter.sign() * 9e14)  # products of these overflow
    assert trainer.non_finite() == "samples are not finite"


def test_only_numbers_that_are_not_finite_are_noticed() -> None:
    module = nn.Module()
    assert not_finite({"empty": module}) == ""
    for name, tensor in (
        ("none", torch.zeros(0)),
        ("float64", torch.ones((), dtype=torch.float64)),
        ("float16", torch.ones(2, dtype=torch.float16)),
        ("large", torch.full((2,), 9e14)),
        ("count", torch.ones(2, dtype=torch.long)),
    ):
        module.register_buffer(name, tensor)
    assert not_finite({"sound": module}) == ""
    for wrong in (float("nan"), float("inf"), -2e15):
        module.register_buffer("wrong", torch.tensor([1.0, wrong]))
        said = not_finite({"sound": nn.Linear(1, 1), "broken": module})
        assert said == "the weights of broken are not finite, or above 1e+15"


def test_the_watch_looks_early_and_at_the_end() -> None:
    def looks(steps: int, every: int) -> list[int]:
        pace = Pace.of(Recipe(steps=steps, watch_every=every))
        return [done for done in range(1, steps + 1) if pace.watches(done)]

    assert looks(1200, 500) == [50, 100, 200, 500, 1000, 1200]
    assert looks(120, 500) == [50, 100, 120] and looks(6, 500) == [6] and looks(3, 1) == [1, 2, 3]


def test_a_collapse_within_the_first_interval_is_seen(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A source that makes diverse images, and a run much shorter than `watch_every`."""
    seen = iter([0.9, 0.1, 0.05])
    monkeypatch.setattr(HealthMonitor, "look", lambda *_: Signs(next(seen), 0.6, None))
    settings = STEADY | {"steps": 6, "watch_every": 50, "on_collapse": "stop", "data": photos, "channels": 1}
    with pytest.raises(gz.TrainingError, match="stopped at step 5: the samples are only 0"):
        gz.transfer("dcgan-mnist", out=tmp_path, **settings)


def test_a_fresh_generator_that_stays_all_alike_is_reported_at_the_end(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(HealthMonitor, "look", lambda *_: Signs(0.1, 0.6, None))
    settings = TINY | {"data": photos, "image_size": 28, "watch_every": 20, "on_collapse": "stop"}
    gz.train("dcgan", out=tmp_path, **settings)
    log = next(tmp_path.glob("*/log.txt")).read_text()
    assert (
        "verdict: too few steps: the samples are still all alike: at step 6 the samples are only 0.10" in log
    )


def test_a_look_leaves_the_networks_as_they_are(photos: Path, tmp_path: Path) -> None:
    modes: list[list[bool]] = []

    class Notes(gz.TransferStrategy):
        def on_gradients(self, phase: str) -> None:
            modes.append([module.training for module in self.networks.discriminator.modules()])

        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> Plan:
            self.networks = target
            return super().prepare(source, target, data)

    source = gz.load_model("dcgan-mnist")
    settings = STEADY | {"data": photos, "channels": 1, "watch_every": 1, "steps": 3}
    gz.transfer(source, strategy=Notes(), out=tmp_path, **settings)
    assert all(found == modes[0] for found in modes) and any(modes[0])


def test_a_problem_is_reported_once_until_it_has_gone(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    diversities = iter([1.0, 0.1, 0.1, 1.0, 0.1, 0.1, 0.1])  # the first one before step 1
    monkeypatch.setattr(HealthMonitor, "look", lambda *_: Signs(next(diversities), 0.8, None))
    settings = TINY | {"data": photos, "image_size": 28, "watch_every": 1, "steps": 6, "out": tmp_path}
    gz.train("dcgan", **settings)
    log = next(tmp_path.glob("*/log.txt")).read_text()
    assert log.count("  collapse: ") == 2 and "step       1  collapse: " in log
