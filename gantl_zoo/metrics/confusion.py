"""`Predictions`: what a classifier predicts for labelled images, class by class.

N images, L classes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.metrics.classification import wilson

ROWS = 30  # classes that a table shows, at most
WIDTH = 32  # characters of a class name in a table


@dataclass(frozen=True)
class Predictions:
    """Logits (N, L) and labels (N,) of the images of `classes`."""

    logits: Tensor
    labels: Tensor
    classes: tuple[str, ...]

    @cached_property
    def probabilities(self) -> Tensor:
        """The probability of each class (N, L)."""
        return self.logits.double().softmax(1)

    @cached_property
    def confusion(self) -> Tensor:
        """The number of images by true class (rows) and predicted class (columns), (L, L)."""
        count = len(self.classes)
        pairs = self.labels * count + self.logits.argmax(1)
        return torch.bincount(pairs, minlength=count * count).view(count, count)

    @property
    def accuracy(self) -> float:
        """The share of images whose predicted class is the true one."""
        return float(self.confusion.diagonal().sum() / len(self.labels))

    @property
    def balanced_accuracy(self) -> float:
        """The mean accuracy of the classes that have images."""
        counts = self.confusion.sum(1)
        return float((self.confusion.diagonal() / counts.clamp(min=1))[counts > 0].double().mean())

    @property
    def loss(self) -> float:
        """The mean cross-entropy."""
        return float(torch.nn.functional.cross_entropy(self.logits.double(), self.labels))

    def mistakes(self, most: int) -> Tensor:
        """The indices of up to `most` wrong predictions, those with the highest probability first."""
        probability, predicted = self.probabilities.max(1)
        wrong = (predicted != self.labels).nonzero()[:, 0]
        return wrong[probability[wrong].argsort(descending=True, stable=True)][:most]

    def of_class(self, number: int) -> dict[str, Any]:
        """The result of one class: images, correct, accuracy with its 95 % interval, most frequent error."""
        row = self.confusion[number]
        images, correct = int(row.sum()), int(row[number])
        others = row.clone()
        others[number] = 0
        worst = int(others.argmax())
        low, high = wilson(correct / images, images) if images else (None, None)
        return {
            "class": self.classes[number],
            "images": images,
            "correct": correct,
            "accuracy": correct / images if images else None,
            "low": low,
            "high": high,
            "mistaken_for": self.classes[worst] if others[worst] else None,
            "mistaken": int(others[worst]),
        }

    def per_class(self) -> list[dict[str, Any]]:
        """`of_class` for each class."""
        return [self.of_class(number) for number in range(len(self.classes))]

    def to_dict(self) -> dict[str, Any]:
        """All results as JSON can hold them."""
        return {
            "classes": list(self.classes),
            "confusion": self.confusion.tolist(),
            "per_class": self.per_class(),
            "balanced_accuracy": self.balanced_accuracy,
        }


def table(per_class: Sequence[dict[str, Any]], training: Mapping[str, int] | None = None) -> list[str]:
    """The lines of a table with a row for each class; the classes with the lowest accuracy if there are many.

    `training` are the numbers of training images by class, for a column of their own.
    """
    rows = [row for row in per_class if row["images"] or training]
    hidden = 0
    if len(rows) > ROWS:
        worst = sorted(rows, key=lambda row: 2.0 if row["accuracy"] is None else row["accuracy"])[:ROWS]
        rows, hidden = [row for row in rows if row in worst], len(rows) - ROWS
    names = [shortened(row["class"]) for row in rows]
    wide = max([len("class"), *map(len, names)])
    counted = f" {'training':>9}" if training is not None else ""
    lines = [f"{'class':{wide}}{counted} {'held out':>9} {'accuracy':>9}  most often mistaken for"]
    for name, row in zip(names, rows, strict=True):
        counted = f" {training.get(row['class'], 0):9,}" if training is not None else ""
        share = "" if row["accuracy"] is None else f"{row['accuracy']:.1%}"
        other = f"{shortened(row['mistaken_for'])} ({row['mistaken']})" if row["mistaken_for"] else ""
        lines.append(f"{name:{wide}}{counted} {row['images']:9,} {share:>9}  {other}".rstrip())
    return [*lines, f"and {hidden} classes with a higher accuracy"] if hidden else lines


def shortened(name: str) -> str:
    """A class name of at most `WIDTH` characters."""
    return name if len(name) <= WIDTH else f"{name[: WIDTH - 1]}…"
