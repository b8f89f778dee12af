"""`RunRecorder`: records the progress, statistics, sample grids, metrics and kept model of a run."""

from __future__ import annotations

import math
import time
from typing import Any

from torch import Tensor

from gantl_zoo.model.gan import GAN, load_gan
from gantl_zoo.networks.base import evaluating
from gantl_zoo.runs.best import Best, first_with_direction
from gantl_zoo.runs.diagnosis.diagnosis import Diagnosis, diagnose, examine
from gantl_zoo.runs.diagnosis.records import Records
from gantl_zoo.runs.evaluate import SHOWN, ModelEvaluator
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.pictures import Pictures, picture
from gantl_zoo.runs.progress import progress_of
from gantl_zoo.runs.report.write import write_report
from gantl_zoo.storage.schema import read_config
from gantl_zoo.training.conditioning import with_labels
from gantl_zoo.training.health import HealthMonitor
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.pace import Pace
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer
from gantl_zoo.viz import curves
from gantl_zoo.viz.grid import grid, save_picture

BUDGET = 0.1  # maximum fraction of a run's time for metrics if `metrics_every` is 0
ROUND = 50  # steps; metrics are then computed at multiples of it
SILENT = ("_gradient", "_update")  # ends of the names of numbers that are not shown beside the losses


class RunRecorder(Observer):
    """Writes to the run folder. The first metric decides which model is kept (`gantl_zoo.runs.best`)."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        evaluator: ModelEvaluator | None,
        health: HealthMonitor | None,
        title: str,
        report: bool = False,
    ) -> None:
        self.folder, self.recipe, self.evaluator, self.health = folder, recipe, evaluator, health
        self.with_report = report
        self.best = Best()
        self.best_step = 0
        self.seconds = 0.0  # spent on metrics
        self.cost = 0.0  # of the last measurement
        self.before = 0.0  # seconds of the run before it was resumed
        self.started = time.perf_counter()
        self.floors: dict[str, float | None] = {}
        self.reported: set[str] = set()  # problems that the last check found
        self.signs: dict[str, Any] = {}  # of the last health check, for the row of statistics of its step
        self.pictures = Pictures(folder.path)
        self.diagnosis: Diagnosis | None = None  # of the run, at its end
        self.progress = progress_of(
            recipe.steps, title, images=recipe.batch, quiet=folder.quiet, write=folder.log
        )

    def on_step(self, step: int) -> None:
        if step < self.recipe.steps:  # `on_log` shows the last one, with its losses
            self.progress.update(step)

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        self._record(step, {"images_per_second": round(rate, 1)} | losses | self.signs)
        self.signs = {}
        shown = {name: value for name, value in losses.items() if not name.endswith(SILENT)}
        self.progress.update(step, "  ".join(f"{name} {value:.3f}" for name, value in shown.items()))

    def _record(self, step: int, numbers: dict[str, Any]) -> None:
        """Append a row of statistics, with None in place of NaN, which JSON does not have."""
        if step == 0 and self.folder.rows("stats.jsonl"):  # resumed from the first checkpoint
            return
        row = {k: v if v is None or math.isfinite(v) else None for k, v in numbers.items()}
        self.folder.append("stats.jsonl", {"step": step, "images": step * self.recipe.batch} | row)

    def on_watch(self, step: int, learner: Learner) -> str:
        if self.health is None or not isinstance(learner, Trainer):
            return ""
        player, strategy = learner.game.discriminator, learner.strategy
        network = evaluating(player.network)

        def discriminate(images: Tensor, labels: Tensor | None = None) -> Tensor:
            return strategy.discriminate(with_labels(network, labels), images, step)

        augment = None if self.recipe.aug == "none" else learner.game.augment
        device, trained = learner.engine.device, player.optimizer is not None
        signs = self.health.look(learner.average, discriminate if trained else None, device, augment)
        collapse = self.health.collapse(signs)
        self.signs = signs.as_row()
        if step:  # before, there is nothing to report but what the run starts from
            self.report(step)
        if step == 0 or not Pace.of(self.recipe).logs(
            step
        ):  # otherwise `on_log` records them with the losses
            self._record(step, self.signs)
            self.signs = {}
        return collapse if step and self.health.sure(step) else ""

    def report(self, step: int) -> None:
        """Say what is going wrong, each problem once until it has gone."""
        records = Records.read(self.folder.path)
        records.stats.append({"step": step} | self.signs)
        findings = examine(records, running=True).findings
        for finding in findings:
            if finding.name not in self.reported:
                self.say(f"step {step:>7}  {finding}")
        self.reported = {finding.name for finding in findings}

    def wants_metrics(self, step: int) -> bool:
        """Whether to measure after `step`: every `metrics_every` steps, or by default in a tenth of the time.

        Without an evaluator, the default is to keep the model of each checkpoint.
        """
        every = self.recipe.metrics_every or (self.recipe.checkpoint_every if self.evaluator is None else 0)
        if every:
            return step % every == 0
        return step % ROUND == 0 and self.seconds + self.cost <= BUDGET * self.elapsed()

    def elapsed(self) -> float:
        """Seconds of the run so far, including the time before it was resumed."""
        return self.before + time.perf_counter() - self.started

    def wants_picture(self, step: int) -> bool:
        return self.pictures.due(self.elapsed(), step / self.recipe.steps)

    def on_picture(self, step: int, gan: GAN) -> None:
        clock = time.perf_counter()
        self.pictures.write(picture(gan), step)
        self.pictures.took(self.elapsed(), time.perf_counter() - clock)

    def on_metrics(self, step: int, gan: GAN) -> None:
        if step in (0, self.recipe.steps):
            self.on_picture(step, gan)
        clock = time.perf_counter()
        results = self.evaluator(gan).results if self.evaluator is not None else []
        self.cost = time.perf_counter() - clock
        self.seconds += self.cost
        self.results = results
        if results:
            self.floors = {r["name"]: r.get("floor") for r in results}
            self.folder.append("metrics.jsonl", {"step": step} | {r["name"]: r["value"] for r in results})
            self.say(f"step {step:>7}  " + "  ".join(f"{r['name']} {r['value']:.4g}" for r in results))
            self.best.first = self.best.first or first_with_direction(results)
        if step and self.best.takes(results, step):  # the model before training is never the result
            self.best_step = step
            about = dict(gan.about)
            about["training"] = about.get("training", {}) | {"best_step": step}
            about["metrics"] = results
            GAN(gan.generator, gan.discriminator, gan.parts, about, gan.name).save(self.folder.path / "model")

    def say(self, text: str) -> None:
        self.folder.log(text)

    def state(self) -> dict[str, Any]:
        alive = self.health is not None and self.health.alive
        times = {"seconds": self.seconds, "cost": self.cost, "elapsed": self.elapsed()}
        return self.best.state() | {"alive": alive, **times, "pictures": self.pictures.state()}

    def restore(self, state: dict[str, Any], step: int) -> None:
        self.folder.forget_after(step)
        self.pictures.restore(state.get("pictures", {}), step)
        # a model that was kept after `step` has overwritten the one that was kept at `step`
        self.best = Best.restored(state, lost=self.kept_step() > step)
        self.best_step, self.seconds = self.best.step, state["seconds"]
        self.cost, self.before = state.get("cost", 0.0), state.get("elapsed", 0.0)
        self.started = time.perf_counter()
        if self.health is not None:
            self.health.alive = state.get("alive", False)

    def kept_step(self) -> int:
        """The step of the model in the folder; 0 without a model."""
        kept = self.folder.path / "model"
        return int(read_config(kept)["training"]["best_step"]) if kept.is_dir() else 0

    def finish(self) -> None:
        """Write what the run ends with: a table, curves, pictures, and the diagnosis as the last line."""
        if table := summary(self.folder.rows("metrics.jsonl"), self.best_step, self.floors):
            self.say(table)
        share = self.seconds / max(self.elapsed(), 1e-9)
        kept = f"kept the model of step {self.best_step}{self.best.reason()}"
        self.say(f"done: {kept}; metrics took {self.seconds:.0f} s, {share:.0%} of the run")
        stats, metrics = (self.folder.rows(name) for name in ("stats.jsonl", "metrics.jsonl"))
        chance = Records.read(self.folder.path).setup.get("chance")
        if path := curves.draw(stats, metrics, self.folder.path / "curves.png", self.floors, chance):
            self.say(f"curves: {path}")
        if path := self.pictures.animate():
            self.say(f"the samples over time: {path}")
        if self.evaluator is not None:
            rows = self.evaluator.nearest_grid(load_gan(self.folder.path / "model", discriminator=False))
            picture = save_picture(grid(rows, len(rows) // SHOWN), self.folder.path / "nearest.png")
            self.say(f"samples (left) and their nearest training images: {picture}")
        if self.with_report:
            self.say(f"report: {write_report(self.folder.path)}")
        self.diagnosis = diagnose(self.folder.path)
        self.say(f"verdict: {self.diagnosis.summary}")

    def __enter__(self) -> None:
        self.folder.open_board(self.recipe.log)
        self.progress.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.folder.close_board()
        self.progress.__exit__(*exception)


def summary(rows: list[dict[str, Any]], best_step: int, floors: dict[str, float | None]) -> str:
    """A table with one row per metric: the kept model, the last model, and real images."""
    kept = next((row for row in rows if row["step"] == best_step), None)
    if kept is None:
        return ""
    last = rows[-1]
    lines = [f"{'':28} {'kept':>10} {'last':>10} {'real images':>12}"]
    lines.append(f"{'step':28} {kept['step']:>10} {last['step']:>10}")
    for name in kept:
        if name != "step" and name in last:
            floor = floors.get(name)
            beside = "" if floor is None else f"{floor:12.4g}"
            lines.append(f"{name:28} {kept[name]:10.4g} {last[name]:10.4g} {beside}".rstrip())
    return "\n".join(lines)
