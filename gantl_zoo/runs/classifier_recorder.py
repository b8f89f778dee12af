"""`ClassifierRecorder`: the record of a classifier's run. Loss and held-out accuracy of each epoch."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.classification import wilson
from gantl_zoo.metrics.result import Result
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.progress import progress_of
from gantl_zoo.training.classifier import accuracy
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.observer import Observer

LEAST = 200  # minimum number of held-out images for the accuracy during training, if there are enough


class ClassifierRecorder(Observer):
    """Writes one row of `stats.jsonl` per epoch. `save` writes the last model, which is the kept one.

    For images `in_memory` the `held_out` images are the training images.
    """

    def __init__(
        self,
        folder: RunFolder,
        recipe: ClassifierRecipe,
        images: ImageData,
        held_out: ImageData,
        in_memory: bool = False,
        save: Callable[[], Classifier] | None = None,
    ) -> None:
        self.in_memory, self.save = in_memory, save
        self.model: Classifier | None = None  # set by `finish`
        self.folder, self.epochs, self.per_epoch = folder, recipe.epochs, recipe.per_epoch(len(images))
        pace = recipe.pace(len(images))
        self.every, self.steps = pace.log_every, pace.steps
        self.progress = progress_of(
            pace.steps, "step", images=pace.batch, quiet=folder.quiet, write=folder.log
        )
        # at most as many as training images, so that measuring does not cost more than training
        self.shown = held_out.few(min(len(held_out), max(LEAST, len(images))))
        self.row: dict[str, Any] = {}

    def on_step(self, step: int) -> None:
        if step < self.steps:  # `on_metrics` writes the line of the last epoch
            self.progress.update(step)

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None:
        numbers = {name: value if math.isfinite(value) else None for name, value in losses.items()}
        self.progress.update(step, "  ".join(f"{name} {value:.3f}" for name, value in losses.items()))
        self.row = {"step": step // self.per_epoch} | numbers | {"images_per_second": rate}

    def wants_metrics(self, step: int) -> bool:
        return step % self.every == 0

    def on_metrics(self, step: int, model: Classifier) -> None:
        if step == 0:
            return
        score = accuracy(model.backbone, self.shown)
        self.results = [result(score, self.shown, self.in_memory)]
        self.folder.append("stats.jsonl", self.row | {"accuracy": score})
        self.best_step, loss = step, self.row["loss"]
        words = f"loss {math.nan if loss is None else loss:.4f}  accuracy {score:.4f} of {len(self.shown):,}"
        self.say(
            f"epoch {self.row['step']}/{self.epochs}  {words}  {self.row['images_per_second']:.0f} images/s"
        )

    def say(self, text: str) -> None:
        self.folder.log(text)

    def __enter__(self) -> None:
        self.progress.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.progress.__exit__(*exception)

    def finish(self) -> None:
        if self.save is not None:
            self.model = self.save()

    def restore(self, state: dict[str, Any], step: int) -> None:
        self.folder.forget_after(step // self.per_epoch)
        self.best_step = step - step % self.every


def result(score: float, held_out: ImageData, in_memory: bool = False) -> Result:
    """The accuracy as a result that names its images. No images are held out of those `in_memory`."""
    split = "training images (in memory, none held out)" if in_memory else f"{held_out.split} images"
    return {
        "name": "accuracy",
        "metric": "accuracy",
        "value": score,
        "on": f"{len(held_out):,} {split} of {held_out.name}",  # cards read the name after " of "
        "data_fingerprint": held_out.fingerprint,
    }


def scored(accuracy: Result, count: int) -> Result:
    """Add the 95 % interval of an accuracy on `count` images, for a report; model folders don't keep it."""
    low, high = wilson(accuracy["value"], count)
    return {**accuracy, "low": low, "high": high, "better": "higher"}
