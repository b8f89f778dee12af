"""Callbacks: they are called, fail cleanly, and never change training."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import children
import numpy as np
import pytest
import torch
from helpers import TINY, new_trainer, state

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.pictures import Pictures
from gantl_zoo.runs.train import prepare_train
from gantl_zoo.training import callback, checkpoint, engine, modes
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer


def run_with(data: Any, out: Path, callbacks: Sequence[Any], **settings: Any) -> gz.GAN:
    run = prepare_train("dcgan", data, {"log_every": 2} | TINY | settings)  # type: ignore[arg-type]
    return execute(run, folder_of(run, out, "run", True), callbacks=callbacks)


class Notes(gz.Callback):
    """Writes down what is called when."""

    def __init__(self) -> None:
        self.calls: dict[str, list[int]] = {}
        self.views: list[Any] = []

    def note(self, name: str, run: gz.RunView) -> None:
        self.calls.setdefault(name, []).append(run.step)
        assert run.steps == run.recipe.steps == 6 and run.folder is not None and run.folder.is_dir()

    def on_start(self, run: gz.RunView) -> None:
        self.note("start", run)
        assert run.losses == {} and run.best_step == 0

    def on_step(self, run: gz.RunView) -> None:
        self.note("step", run)

    def on_log(self, run: gz.RunView) -> None:
        self.note("log", run)
        assert {"generator", "discriminator"} <= run.losses.keys()

    def on_metrics(self, run: gz.RunView) -> None:
        self.note("metrics", run)
        self.views.append((run.results, run.best_step, run.sample(2, seed=5), run.snapshot()))

    def on_checkpoint(self, run: gz.RunView) -> None:
        self.note("checkpoint", run)

    def on_end(self, run: gz.RunView) -> None:
        self.note("end", run)


def test_every_method_is_called_in_its_turn(photos: Path, tmp_path: Path) -> None:
    notes = Notes()
    settings = {"image_size": 28, "metrics": "kd", "extractor": "pixels", "samples": 20}
    made = run_with(photos, tmp_path, [notes], **settings)
    each = {"start": [0], "step": [1, 2, 3, 4, 5, 6], "log": [2, 4, 6], "metrics": [3, 6], "end": [6]}
    assert notes.calls == each | {"checkpoint": [3, 6]}
    results, best_step, samples, model = notes.views[-1]
    assert results[0]["metric"] == "kd" and best_step in (3, 6)
    assert torch.equal(samples, model.generate(2, seed=5))
    kept = next(view for view in notes.views if view[1] == made.about["training"]["best_step"])
    assert torch.equal(kept[3].generate(2), made.generate(2))


class Meddles(gz.Callback):
    """Does all that it should not."""

    def meddle(self, run: gz.RunView) -> None:
        torch.manual_seed(7), random.seed(7), np.random.seed(7)
        torch.rand(3), random.random(), np.random.rand()
        torch.set_grad_enabled(False)
        run.losses["generator"] = 0.0
        run.recipe.engine_config["threads"] = 7
        gan = run.snapshot()
        with torch.no_grad():
            for network in (gan.generator, gan.discriminator):
                for parameter in network.train().parameters():
                    parameter.fill_(float("nan"))
        gan.about.clear()
        run.sample(2).fill_(0.0)
        with pytest.raises(AttributeError):
            run.step = 3  # type: ignore[misc]
        torch.set_default_dtype(torch.float64)

    on_start = on_step = on_log = on_metrics = on_checkpoint = on_end = meddle


def test_a_run_with_callbacks_is_the_run_without(images: ImageData, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"aug": "ada", "r1": 0.1}
    torch.manual_seed(1)
    expected = torch.rand(2)
    torch.manual_seed(1)
    made = [run_with(images, tmp_path / str(i), [Meddles()] * i, **settings) for i in (0, 2)]
    assert torch.equal(torch.rand(2), expected) and torch.get_default_dtype() is torch.float32
    assert torch.equal(made[0].generate(3), made[1].generate(3))
    newest = [next((tmp_path / i).glob("*/checkpoints/00000006/state.safetensors")) for i in ("0", "2")]
    assert newest[0].read_bytes() == newest[1].read_bytes()


@pytest.mark.parametrize("kind", [ValueError, SystemExit])
@pytest.mark.parametrize("hook", ["start", "step", "log", "metrics", "checkpoint", "end"])
def test_a_callback_that_raises_ends_the_run_with_a_checkpoint(
    photos: Path, tmp_path: Path, hook: str, kind: type[BaseException]
) -> None:
    class Breaks(gz.Callback):
        pass

    def broken(self: Breaks, run: gz.RunView) -> None:
        if hook == "start" or run.step >= 2:
            raise kind("out of\nluck")

    setattr(Breaks, f"on_{hook}", broken)
    when = "all 6 steps are done, but" if hook == "end" else r"stopped at step \d:"
    words = rf"{when} the callback Breaks.on_{hook} raised {kind.__name__}: out of; .*gantl-zoo resume"
    with pytest.raises(gz.TrainingError, match=words) as raised:
        run_with(photos, tmp_path / "broken", [Breaks()], image_size=28)
    assert "\n" not in str(raised.value) and isinstance(raised.value.__cause__, kind)
    (run,) = (tmp_path / "broken").iterdir()
    assert int(checkpoint.saved(run)[-1].name) == {"start": 0, "metrics": 3, "checkpoint": 3, "end": 6}.get(
        hook, 2
    )
    whole, again = run_with(photos, tmp_path / "whole", [], image_size=28), gz.resume(run, quiet=True)
    assert torch.equal(whole.generate(2), again.generate(2))
    rows = [(path / "stats.jsonl").read_text().count('"step"') for path in (run, whole.folder.parent)]  # type: ignore[union-attr]
    assert rows[0] == rows[1]


@pytest.mark.parametrize("hook", ["on_step", "on_log", "on_metrics", "on_checkpoint", "on_end"])
def test_a_callback_that_raises_after_the_last_step_costs_no_closing_work(
    photos: Path, tmp_path: Path, hook: str
) -> None:
    class Late(gz.Callback):
        pass

    def late(self: Late, run: gz.RunView) -> None:
        if run.step == run.steps:
            raise SystemExit(3)

    setattr(Late, hook, late)
    settings: dict[str, Any] = {"image_size": 28, "metrics": "kd", "extractor": "pixels", "samples": 20}
    with pytest.raises(gz.TrainingError, match=f"all 6 steps are done, but the callback Late.{hook} raised"):
        run_with(photos, tmp_path / "runs", [Late()], **settings)
    (run,) = (tmp_path / "runs").iterdir()
    assert all((run / name).is_file() for name in ("nearest.png", "model/config.json"))
    assert (run / "log.txt").read_text().count("done: kept the model of step") == 1


def test_a_callback_may_be_interrupted(photos: Path, tmp_path: Path) -> None:
    class Waits(gz.Callback):
        def on_step(self, run: gz.RunView) -> None:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_with(photos, tmp_path, [Waits()], image_size=28)


def test_a_hook_that_nobody_overrides_costs_nothing(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Logs(gz.Callback):
        calls = 0

        def on_log(self, run: gz.RunView) -> None:
            self.calls += 1
            torch.rand(1)

    entered: list[int] = []

    def counted(seed: int) -> Any:
        entered.append(seed)
        return modes.isolated(seed)

    monkeypatch.setattr(callback, "isolated", counted)
    callbacks = [Logs(), Logs()]
    run_with(images, tmp_path, callbacks)
    assert [one.calls for one in callbacks] == [3, 3] and len(entered) == 3
    direct = gz.Callback()
    direct.on_end = entered.clear  # type: ignore[method-assign]
    assert callback.overrides(direct, "on_end") and not callback.overrides(direct, "on_step")


@pytest.mark.parametrize("count", [1, 2])
def test_the_check_for_numbers_that_are_not_finite_runs_once_a_step(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    looks: list[int] = []
    learned: list[int] = []
    non_finite, learn = Trainer.non_finite, Trainer.learn

    def counted(self: Trainer) -> str:
        looks.append(len(learned))
        return non_finite(self)

    def counting(self: Trainer, *words: Any) -> Any:
        learned.append(len(learned) + 1)
        return learn(self, *words)

    monkeypatch.setattr(Pictures, "due", lambda *times: False)  # they come by time, and each adds a check
    monkeypatch.setattr(Trainer, "non_finite", counted)
    monkeypatch.setattr(Trainer, "learn", counting)
    run_with(images, tmp_path, [], metrics_every=count, checkpoint_every=count, log_every=count)
    assert looks == [0, *range(count, 7, count)]


def test_what_is_no_callback_is_refused_before_a_run_begins(images: ImageData, tmp_path: Path) -> None:
    for wrong, text in (([print], "not builtin"), ([Notes], "not Notes"), (Notes(), "must be a list")):
        with pytest.raises(gz.UsageError, match=text):
            run_with(images, tmp_path, wrong)  # type: ignore[arg-type]
    assert not list(tmp_path.iterdir())


def test_a_callback_works_without_a_folder(gan: gz.GAN, images: ImageData) -> None:
    class Counts(gz.Callback):
        steps = 0

        def on_step(self, run: gz.RunView) -> None:
            self.steps += 1
            assert run.folder is None

    def trainer() -> Trainer:
        recipe = Recipe(steps=3, batch=4, precision="fp32")
        return new_trainer(gan, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))

    counts, before = Counts(), state(gan.generator)
    trainer().run(Observer(), callbacks=[counts])
    assert counts.steps == 3 and any(not torch.equal(before[n], t) for n, t in state(gan.generator).items())


class Ends(gz.Callback):
    """Writes which process it is called in, and fails soon."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def on_start(self, run: gz.RunView) -> None:
        (self.folder / f"called-{os.environ['RANK']}").touch()

    def on_step(self, run: gz.RunView) -> None:
        if run.step == 3:
            raise ValueError("enough")


def run_as_rank(folder: Path) -> None:
    data = ImageData(torch.arange(40, dtype=torch.uint8)[:, None, None, None].expand(-1, 1, 28, 28))
    settings: Any = TINY | {"steps": 100_000, "watch_every": 100_000}
    try:
        run = prepare_train("dcgan", data, settings)
        execute(run, folder_of(run, folder / "runs", "run", True), callbacks=[Ends(folder)])
    except BaseException as error:
        (folder / f"ended-{os.environ['RANK']}").write_text(f"{type(error).__name__}: {error}")


def test_of_several_processes_the_main_one_calls_and_all_end_together(tmp_path: Path) -> None:
    for process in children.launch(2, run_as_rank, tmp_path):
        process.join(60)
        assert process.exitcode == 0
    assert (tmp_path / "called-0").exists() and not (tmp_path / "called-1").exists()
    main, other = ((tmp_path / f"ended-{rank}").read_text() for rank in (0, 1))
    assert main.startswith("TrainingError: stopped at step 10: the callback Ends.on_step raised ValueError")
    assert other.startswith("Stopped: stopped at step 10")
