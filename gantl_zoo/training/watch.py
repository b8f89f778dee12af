"""`Watch`: the observer of a run. Progress, statistics, sample grids, metrics, the best model."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Callable
from typing import Any

from gantl_zoo.data.grid import grid, save_picture
from gantl_zoo.gan import GAN
from gantl_zoo.training import curves
from gantl_zoo.training.collapse import ADVICE, CollapseWatch
from gantl_zoo.training.folder import RunFolder
from gantl_zoo.training.loop import Trainer
from gantl_zoo.training.recipe import Recipe

Measure = Callable[[GAN], list[dict[str, Any]]]
GRID = 64


class Watch:
    """Looks on and writes into the run folder; the first metric decides which model is best."""

    def __init__(
        self,
        folder: RunFolder,
        recipe: Recipe,
        measure: Measure | None,
        collapse: CollapseWatch | None,
        title: str,
    ) -> None:
        self.folder, self.recipe, self.measure, self.collapse = folder, recipe, measure, collapse
        self.best: float | None = None
        self.best_step = 0
        self.seconds = 0.0  # spent on metrics
        self.signs: dict[str, float] = {}  # of the last look, for the next row of statistics
        self.bar = _bar(recipe.steps, title) if not folder.quiet and sys.stderr.isatty() else None

    def on_step(self, step: int) -> None:
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], completed=step)

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        row = {"step": step, "images": step * self.recipe.batch, "images_per_second": round(rate, 1)}
        numbers = {
            k: v if math.isfinite(v) else None for k, v in (losses | self.signs).items()
        }  # JSON has no NaN
        self.folder.append("stats.jsonl", row | numbers)
        self.signs = {}
        said = "  ".join(f"{name} {value:.3f}" for name, value in losses.items())
        left = (self.recipe.steps - step) * self.recipe.batch / rate
        line = f"step {step:>7}/{self.recipe.steps}  {said}  {rate:.0f} images/s  {left / 60:.1f} min left"
        if self.bar is not None:
            self.bar.update(self.bar.task_ids[0], said=f"{said}  {rate:.0f} images/s")
        elif step % (10 * self.recipe.log_every) == 0 or step == self.recipe.steps:
            self.folder.log(line)

    def on_watch(self, step: int, trainer: Trainer) -> str:
        if self.collapse is None:
            return ""
        network, strategy = trainer.game.discriminator.network.eval(), trainer.game.strategy
        signs = self.collapse.look(
            trainer.average,
            lambda images: strategy.discriminate(network, images, step),
            trainer.engine.device,
        )
        self.signs = signs.as_row()
        found = self.collapse.judge(signs, step)
        for kind, text in found.items():
            self.say(f"step {step:>7}  {kind}: {text}; {ADVICE[kind]}")
        return found.get("collapse", "")

    def on_metrics(self, step: int, gan: GAN) -> None:
        save_picture(grid(gan.generate(GRID, seed=0)), self.folder.path / f"fakes{step:06d}.png")
        clock = time.perf_counter()
        results = self.measure(gan) if self.measure is not None else []
        self.seconds += time.perf_counter() - clock
        if results:
            first = results[0]
            self.folder.append("metrics.jsonl", {"step": step} | {r["name"]: r["value"] for r in results})
            self.say(f"step {step:>7}  " + "  ".join(f"{r['name']} {r['value']:.4g}" for r in results))
            if step == 0 or (self.best is not None and first["value"] >= self.best):
                return
            self.best = first["value"]
        if step:  # the model before training is never the result
            self.best_step = step
            about = dict(gan.about)
            about["training"] = about.get("training", {}) | {"best_step": step}
            about["metrics"] = results
            GAN(gan.generator, gan.discriminator, gan.parts, about, gan.name).save(self.folder.path / "model")

    def say(self, text: str) -> None:
        self.folder.log(text)

    def state(self) -> dict[str, Any]:
        alive = self.collapse is not None and self.collapse.alive
        return {"best": self.best, "best_step": self.best_step, "seconds": self.seconds, "alive": alive}

    def restore(self, state: dict[str, Any], step: int) -> None:
        self.folder.forget_after(step)
        self.best, self.best_step, self.seconds = state["best"], state["best_step"], state["seconds"]
        if self.collapse is not None:
            self.collapse.alive = state.get("alive", False)

    def finish(self) -> None:
        """The last words, and the curves."""
        self.say(f"done: best at step {self.best_step}; metrics took {self.seconds:.0f} s")
        if drawn := curves.draw(self.folder):
            self.say(f"curves: {drawn}")

    def __enter__(self) -> Watch:
        self.folder.open_board(self.recipe.log)
        if self.bar is not None:
            self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.folder.close_board()
        if self.bar is not None:
            self.bar.stop()


class Bystander:
    """The observer in every process but the main one: sees nothing, says nothing."""

    best_step = 0

    def on_step(self, step: int) -> None: ...
    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None: ...
    def on_metrics(self, step: int, gan: GAN) -> None: ...
    def on_watch(self, step: int, trainer: Trainer) -> str:
        return ""

    def say(self, text: str) -> None: ...
    def state(self) -> dict[str, Any]:
        return {}

    def restore(self, state: dict[str, Any], step: int) -> None: ...
    def finish(self) -> None: ...
    def __enter__(self) -> Bystander:
        return self

    def __exit__(self, *exception: object) -> None: ...


def _bar(steps: int, title: str) -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn(title),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        TextColumn("{task.fields[said]}"),
        console=Console(stderr=True),
    )
    bar.add_task(title, total=steps, said="")
    return bar
