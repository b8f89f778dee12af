"""`Evaluator` measures samples against held-out images, whose features and floors it computes once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError
from gantl_zoo.metrics.catalogue import AUTO, Counts, Metric, Values, choose
from gantl_zoo.metrics.extract import Crew, Features, Images, Progress, extract, plain
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.result import Result, entry

METRIC_SEED = 1_000_000  # metrics use their own seeds for samples


@dataclass
class Evaluator:
    """Measures samples against `held_out` images. The floors need `train` images.

    `learned`: the images that the model was trained on, if not all of `train`. `quick`: reduce "auto" to the
    metrics that are measured during training. Raises `DataError` or `UsageError`, when it is built, for
    explicitly requested metrics that can't be measured.
    """

    extractor: Extractor
    train: ImageData | None
    held_out: ImageData
    metrics: tuple[str, ...] = (AUTO,)
    samples: int = 10_000
    learned: ImageData | None = None
    quick: bool = False
    crew: Crew | None = None
    progress: Progress = plain
    chosen: dict[str, Metric] = field(init=False)
    floors: dict[str, Values] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self.extractor.check(self.held_out.shape)
        known = self.train if self.learned is None else self.learned
        learned = 0 if known is None else len(known)
        real = min(self.samples, len(self.held_out))
        terms = Counts(self.extractor, self.held_out.name, real, self.samples, learned)
        self.chosen = choose(self.metrics, terms, self.quick)

    @cached_property
    def real(self) -> Features:
        """Features of held-out images: a random subset of `samples` images, or all."""
        return self.extract(Images.part(self.held_out, self.samples))

    @cached_property
    def training(self) -> Features:
        """Features of the model's training images in a fixed random order, if a metric needs them."""
        data = self.train if self.learned is None else self.learned
        return self.extract(Images.part(data, len(data))) if self.needs_train and data else self.stand_in

    @cached_property
    def stand_in(self) -> Features:
        """Features of `samples` training images, or all: what a perfect generator would produce."""
        if self.needs_train and self.learned is None:  # the same images in the same order
            return self.training.select(slice(self.samples))
        if self.train is None:
            return self.real.select(slice(0))
        return self.extract(Images.part(self.train, self.samples))

    @property
    def needs_train(self) -> bool:
        """Whether a metric compares samples with the model's training images."""
        return any(metric.needs_train for metric in self.chosen.values())

    def extract(self, images: Images) -> Features:
        """Features of `images` by the evaluator's extractor."""
        return extract(self.extractor, images, self.crew, self.progress)

    def __call__(self, samples: Images) -> Report:
        """Measure all metrics of `samples`. Raises `DataError` if they don't have the shape of the data."""
        if samples.shape != self.held_out.shape:
            raise DataError(
                f"the samples have the shape {samples.shape} (channels, height, width), but the images of "
                f"{self.held_out.name} have {self.held_out.shape}; both must be the same"
            )
        fake = self.extract(samples)
        how = self.how(len(fake))
        report = Report()
        for name, metric in self.chosen.items():
            if name not in self.floors:
                self.floors[name] = self.floor(metric, self.stand_in, self.real, self.training)
            values = metric.measure(fake, self.real, self.training)
            report.results += results(metric, values, self.floors[name], how)
        lenient = self.quick or AUTO in self.metrics
        for kind in by_class(fake, self.real, self.stand_in, self.held_out.classes, lenient):
            report.results += self.of_class(how, *kind)
        return report

    def of_class(
        self, how: dict[str, Any], name: str, fake: Features, real: Features, stand_in: Features
    ) -> list[Result]:
        """The per-class metrics of one class, without those for which it has too few images."""
        found = []
        for metric in (metric for metric in self.chosen.values() if metric.by_class):
            if self.enough(metric, real, fake):
                values = metric.measure(fake, real, real)
                floor = self.floor(metric, stand_in, real, real)
                found += results(metric, values, floor, how, f"[{name}]")
        return found

    def floor(self, metric: Metric, stand_in: Features, real: Features, training: Features) -> Values:
        """The metric's floor; {} without training images, or with too few of them."""
        if self.train is None or (metric.by_class and not self.enough(metric, real, stand_in)):
            return {}
        return metric.floor(stand_in, real, training)

    def enough(self, metric: Metric, real: Features, other: Features) -> bool:
        """Whether there are enough images for a metric."""
        try:
            metric.check(Counts(self.extractor, "", len(real), len(other), 0))
        except DataError:
            return False
        return True

    def how(self, count: int) -> dict[str, Any]:
        """The keys that all results share: data, counts, extractor, seed."""
        real, data = self.real, self.held_out
        return {
            "on": f"{count:,} samples against {len(real):,} {data.split} images of {data.name}",
            "floor_on": "no training images are known"
            if self.train is None
            else f"{len(self.stand_in):,} {self.train.split} images against the same",
            "samples": count,
            "real": len(real),
            "split": data.split,
            "data_fingerprint": data.fingerprint,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "convention": self.extractor.convention,
            "seed": METRIC_SEED,
        }


def results(
    metric: Metric, values: Values, floors: Values, how: dict[str, Any], suffix: str = ""
) -> list[Result]:
    """A metric's values as entries of a report, without those that are not finite."""
    found = []
    for name, value in values.items():
        result = entry(f"{name}{suffix}", value, floors.get(name), how)
        floor = result.get("floor")
        if floor is not None and not math.isfinite(floor):
            result["floor"] = None
        if math.isfinite(result["value"]):
            result["better"] = "lower" if name in metric.lower else "higher"
            found.append(result)
    return found


def by_class(
    fake: Features, real: Features, stand_in: Features, classes: tuple[str, ...], lenient: bool = False
) -> list[Any]:
    """For each class its name and the features of its samples, held-out and training images.

    [] if the samples have no labels. Raises `DataError` for a class without held-out images; `lenient` leaves
    it out.
    """
    if fake.labels is None:
        return []
    if real.labels is None:
        raise DataError("the samples have labels, but the held-out images have none to compare them by")
    found = []
    for label in torch.arange(len(classes)):
        parts = [part_of(side, label) for side in (fake, real, stand_in)]
        if not len(parts[1]):
            if lenient:
                continue
            raise DataError(f"class {classes[int(label)]} has no held-out images, so it can't be measured")
        found.append((classes[int(label)], *parts))
    return found


def part_of(features: Features, label: torch.Tensor) -> Features:
    """The features of one class; none if there are no labels."""
    labels = features.labels if features.labels is not None else torch.full((len(features),), -1)
    return features.select(labels == label)
