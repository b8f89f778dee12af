"""`ClassifierReport`: the accuracy of a classifier, class by class, and its worst mistakes as pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError
from gantl_zoo.metrics.confusion import Predictions, table
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.result import Result
from gantl_zoo.metrics.table import escaped
from gantl_zoo.runs.classifier_recorder import result, scored
from gantl_zoo.viz import confusion
from gantl_zoo.viz.grid import save_picture

SHOWN = 24  # mistakes in the picture
FEW = 5  # training images; a class with fewer gets a warning
UNBALANCED = 3  # times as many images in the largest class as in the smallest get the advice to weight them
LISTED = 12  # classes whose names a line lists


@dataclass(repr=False)
class ClassifierReport(Report):
    """A report with the predictions of a classifier for the images it was measured on.

    `training` are the numbers of training images by class, if they are known.
    """

    predictions: Predictions | None = None
    images: ImageData | None = None
    training: Mapping[str, int] | None = None

    def __str__(self) -> str:
        if self.predictions is None:
            return super().__str__()
        return "\n".join([super().__str__(), "", *self.class_table()])

    def class_table(self) -> list[str]:
        """The lines of a table with a row for each class."""
        return [] if self.predictions is None else table(self.predictions.per_class(), self.training)

    def to_markdown(self) -> str:
        if self.predictions is None:
            return super().to_markdown()
        rows = ["| class | images | accuracy | most often mistaken for |", "| --- | ---: | ---: | --- |"]
        for row in self.predictions.per_class():
            share = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
            other = f"{row['mistaken_for']} ({row['mistaken']})" if row["mistaken_for"] else ""
            rows.append(f"| {escaped(row['class'])} | {row['images']:,} | {share} | {escaped(other)} |")
        return super().to_markdown() + "\n\n" + "\n".join(rows)

    def save_pictures(self, folder: str | Path) -> list[Path]:
        """Write `confusion.png` and, if there are mistakes, `mistakes.png` into `folder`.

        Returns their paths. A matrix of very many classes is not drawn. Raises `UsageError` for a report that
        was read from JSON, `DataError` if a file can't be written.
        """
        if self.predictions is None or self.images is None:
            raise UsageError("this report has no predictions: measure the classifier with classify_evaluate")
        pictures = []
        if len(self.predictions.classes) <= confusion.LARGEST:
            title = f"{self.model}: {self.predictions.accuracy:.1%} of {len(self.images):,} images"
            drawn = confusion.draw_confusion(self.predictions.confusion, self.predictions.classes, title)
            pictures.append(save_picture(drawn, Path(folder) / "confusion.png"))
        wrong = self.predictions.mistakes(SHOWN)
        if len(wrong):
            drawn = confusion.captioned(
                self.images.images[wrong], self.captions(wrong.tolist()), self.title(len(wrong))
            )
            pictures.append(save_picture(drawn, Path(folder) / "mistakes.png"))
        return pictures

    def title(self, count: int) -> str:
        """The title of the picture of `count` mistakes."""
        assert self.predictions is not None
        total = len(self.predictions.labels) - int(self.predictions.confusion.diagonal().sum())
        which = f"the {count} most confident of {total:,}" if count < total else f"all {total}"
        return f"Mistakes of {self.model}, {which}: true class, then prediction"

    def captions(self, index: Sequence[int]) -> list[list[str]]:
        """Two lines for each image: its true class; the predicted class and its probability."""
        assert self.predictions is not None
        names, probabilities = self.predictions.classes, self.predictions.probabilities[list(index)]
        labels = self.predictions.labels[list(index)].tolist()
        return [
            [names[label], f"→ {names[int(row.argmax())]} {float(row.max()):.0%}"]
            for label, row in zip(labels, probabilities, strict=True)
        ]


def classifier_report(
    predictions: Predictions,
    images: ImageData,
    model: str,
    *,
    in_memory: bool = False,
    training: Mapping[str, int] | None = None,
) -> ClassifierReport:
    """The report on the predictions for `images`; the accuracy's result contains the confusion matrix."""
    measured = result(predictions.accuracy, images, in_memory)
    accuracy = cast(Result, dict(scored(measured, len(images))) | predictions.to_dict())
    name: Any = {"name": "balanced_accuracy", "metric": "balanced_accuracy", "better": "higher"}
    balanced = cast(Result, dict(measured) | name | {"value": predictions.balanced_accuracy})
    return ClassifierReport(
        [accuracy, balanced], model=model, predictions=predictions, images=images, training=training
    )


def counted(images: ImageData) -> dict[str, int]:
    """The number of images of each class by name."""
    counts = dict.fromkeys(images.classes, 0)
    for label in [] if images.labels is None else images.labels.tolist():
        counts[images.classes[label]] += 1
    return counts


def notes_on_classes(images: ImageData, held_out: ImageData, *, in_memory: bool, weighted: bool) -> list[str]:
    """Lines on the number of images of each class: all numbers, then warnings."""
    train, test = counted(images), dict.fromkeys(images.classes, 0) if in_memory else counted(held_out)
    if len(train) <= LISTED:
        held = [f" (+{test[name]})" if not in_memory else "" for name in train]
        numbers = ", ".join(f"{name} {n}{more}" for (name, n), more in zip(train.items(), held, strict=True))
    else:
        numbers = f"{min(train.values()):,} to {max(train.values()):,} images a class"
    what = "" if in_memory else " (+ held out)"
    lines = [f"{len(train)} classes, training images{what}: {numbers}"]
    if absent := [name for name, count in train.items() if not count]:
        lines.append(f"warning: no training images of {listed(absent)}: the model never predicts them well")
    if few := [f"{name} ({count})" for name, count in train.items() if 0 < count < FEW]:
        lines.append(f"warning: fewer than {FEW} training images of {listed(few)}: add images")
    if not in_memory and (unmeasured := [name for name, count in test.items() if not count]):
        lines.append(
            f"warning: no image of {listed(unmeasured)} is held out, so its accuracy is not measured"
        )
    present = [count for count in train.values() if count]
    if not weighted and present and max(present) >= UNBALANCED * min(present):
        lines.append(
            f"the largest class has {max(present) / min(present):.0f} times as many images as the smallest: "
            "--class-weights balanced gives each class the same weight"
        )
    return lines


def listed(names: Sequence[str]) -> str:
    """The first names, and how many more there are."""
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")
