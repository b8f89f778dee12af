"""Real images that samples are compared with, and the classes that they have."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from gantl_zoo.errors import DataError
from gantl_zoo.metrics.extract import Features


@dataclass(frozen=True)
class References:
    """Features of real images: `real` for samples, and for the floor `stand_in` for samples of `against`."""

    real: Features
    stand_in: Features
    against: Features

    def of_class(self, label: int) -> References:
        """The images of one class."""
        return References(*(part_of(side, label) for side in (self.real, self.stand_in, self.against)))


def by_class(
    fake: Features, real: Features, classes: tuple[str, ...], lenient: bool = False
) -> list[tuple[int, str]]:
    """Number and name of each class that can be measured. [] if the samples have no labels.

    Raises `DataError` for a class without held-out images; `lenient` leaves it out.
    """
    if fake.labels is None:
        return []
    if real.labels is None:
        raise DataError("the samples have labels, but the held-out images have none to compare them by")
    present = set(real.labels.tolist())
    if not lenient and (absent := set(range(len(classes))) - present):
        raise DataError(f"class {classes[min(absent)]} has no held-out images, so it can't be measured")
    return [(label, name) for label, name in enumerate(classes) if label in present]


def part_of(features: Features, label: int) -> Features:
    """The features of one class; none if there are no labels."""
    labels = features.labels if features.labels is not None else torch.full((len(features),), -1)
    return features.select(labels == label)


def joined(first: Features, second: Features) -> Features:
    """Both sets of features as one. Logits and labels only if both have them."""

    def both(one: Tensor | None, other: Tensor | None) -> Tensor | None:
        return None if one is None or other is None else torch.cat([one, other])

    logits, labels = both(first.logits, second.logits), both(first.labels, second.labels)
    return Features(torch.cat([first.features, second.features]), logits, labels)
