"""`ClassifierRecorder`: the record of a classifier's run. Loss and held-out accuracy of each epoch.

The epoch whose model is kept is chosen by held-out accuracy as `gantl_zoo.runs.best` says: the newest one
within the 95 % interval of the best. If no images are held out, the last model is kept.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, Protocol

from gantl_zoo.data import ImageData
from gantl_zoo.metrics.classification import wilson
from gantl_zoo.metrics.confusion import Predictions
from gantl_zoo.metrics.result import Result
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.best import Best
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.progress import progress_of
from gantl_zoo.storage.schema import read_config
from gantl_zoo.training.classifier import ClassifierTrainer, labels_of
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.observer import Observer

LEAST = 200  # minimum number of held-out images for the accuracy during training, if there are enough


class Keeper(Protocol):
    """What writes the model of a step into the run's folder."""

    def keep(self, model: Classifier, step: int, results: Sequence[Result]) -> object: ...
    def finish(self, step: int) -> None: ...


class ClassifierRecorder(Observer):
    """Writes one row of `stats.jsonl` per epoch. `keeper` writes the model that is kept.

    For images `in_memory` the `held_out` images are the training images.
    """

    def __init__(
        self,
        folder: RunFolder,
        trainer: ClassifierTrainer,
        images: ImageData,
        held_out: ImageData,
        keeper: Keeper,
        *,
        in_memory: bool = False,
    ) -> None:
        recipe: ClassifierRecipe = trainer.recipe
        self.folder, self.trainer, self.in_memory, self.keeper = folder, trainer, in_memory, keeper
        self.recipe, self.per_epoch = recipe, recipe.per_epoch(len(images))
        pace = recipe.pace(len(images))
        self.every, self.steps = pace.log_every, pace.steps
        self.progress = progress_of(
            pace.steps, "step", images=pace.batch, quiet=folder.quiet, write=folder.log
        )
        # at most as many as training images, so that measuring does not cost more than training
        self.shown = held_out.few(min(len(held_out), max(LEAST, len(images))))
        self.row: dict[str, Any] = {}
        self.best, self.stopped = Best(first="accuracy"), False

    @property
    def best_step(self) -> int:  # type: ignore[override]
        """The step of the model that is kept."""
        return self.best.step

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
        predictions = Predictions(self.trainer.logits(self.shown), labels_of(self.shown), self.shown.classes)
        measured = result(predictions.accuracy, self.shown, self.in_memory)
        self.results = [measured]
        self.folder.append(
            "stats.jsonl", self.row | {"accuracy": predictions.accuracy, "held_out_loss": predictions.loss}
        )
        loss = self.row["loss"]
        words = f"loss {math.nan if loss is None else loss:.4f}  accuracy {predictions.accuracy:.4f}"
        self.say(
            f"epoch {self.row['step']}/{self.recipe.epochs}  {words} of {len(self.shown):,}  "
            f"{self.row['images_per_second']:.0f} images/s"
        )
        if self.best.takes([] if self.in_memory else [scored(measured, len(self.shown))], step):
            self.keeper.keep(model, step, [measured])
        self.stopped = self.out_of_patience(step)

    def out_of_patience(self, step: int) -> bool:
        """Whether `patience` epochs have passed since the highest held-out accuracy."""
        waited = (step - self.best.at) / self.per_epoch
        return bool(self.recipe.patience and self.best.score is not None and waited >= self.recipe.patience)

    def stops(self, step: int) -> bool:
        return self.stopped

    def say(self, text: str) -> None:
        self.folder.log(text)

    def __enter__(self) -> None:
        self.progress.__enter__()

    def __exit__(self, *exception: object) -> None:
        self.progress.__exit__(*exception)

    def finish(self) -> None:
        """Write which model is kept, and why; measure it on all held-out images."""
        epoch, last = self.best.step // self.per_epoch, self.row.get("step", self.recipe.epochs)
        if self.stopped and last < self.recipe.epochs:
            self.say(f"stopped after epoch {last}: {self.recipe.patience} epochs without a higher accuracy")
        why = self.best.reason().replace(
            f"at step {self.best.at}", f"in epoch {self.best.at // self.per_epoch}"
        )
        self.say(f"kept the model of epoch {epoch}{why}")
        self.keeper.finish(self.best.step)

    def state(self) -> dict[str, Any]:
        return {"best": self.best.state()}

    def restore(self, state: dict[str, Any], step: int) -> None:
        self.folder.forget_after(step // self.per_epoch)
        if "best" in state:  # not in runs of earlier versions
            self.best = Best.restored(state["best"], lost=self.kept_step() > step)
        self.stopped = self.out_of_patience(step)

    def kept_step(self) -> int:
        """The step of the model in the folder; 0 without a model."""
        kept = self.folder.path / "model"
        return int(read_config(kept)["training"].get("best_step", 0)) if kept.is_dir() else 0


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
