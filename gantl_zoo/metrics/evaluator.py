"""`Evaluator`: held-out images, their features and floors; then any samples against them."""

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

METRIC_SEED = 1_000_000  # samples for metrics come from seeds that nothing else uses


@dataclass
class Evaluator:
    """Measures samples against `held_out` images; `train` images, if there are any, give the floor.

    `learned`: the images that the model was trained on, if not all of `train`. `quick`: what "auto" means
    while a run trains. Raises `DataError` or `UsageError` at once for what can't be measured.
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
        """A random part of the held-out images, as many as there are samples, or all."""
        return self.extract(Images.part(self.held_out, self.samples))

    @cached_property
    def training(self) -> Features:
        """What the model was trained on, if a metric asks; in a fixed random order."""
        data = self.train if self.learned is None else self.learned
        return self.extract(Images.part(data, len(data))) if self.needs_train and data else self.stand_in

    @cached_property
    def stand_in(self) -> Features:
        """As many training images as there are samples, or all: the best that a generator can hope for."""
        if self.needs_train and self.learned is None:  # these very images, in the same order
            return self.training.select(slice(self.samples))
        if self.train is None:
            return self.real.select(slice(0))
        return self.extract(Images.part(self.train, self.samples))

    @property
    def needs_train(self) -> bool:
        """Whether a metric asks what the model was trained on."""
        return any(metric.needs_train for metric in self.chosen.values())

    def extract(self, images: Images) -> Features:
        return extract(self.extractor, images, self.crew, self.progress)

    def __call__(self, samples: Images) -> Report:
        """All metrics of generated images."""
        if samples.shape != self.held_out.shape:
            raise DataError(
                f"the samples are {samples.shape} (channels, height, width), the images of "
                f"{self.held_out.name} {self.held_out.shape}; bring both to one size and channel count"
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
        """The same distances within one class, those for which it has images enough."""
        found = []
        for metric in (metric for metric in self.chosen.values() if metric.by_class):
            if self.enough(metric, real, fake):
                values = metric.measure(fake, real, real)
                floor = self.floor(metric, stand_in, real, real)
                found += results(metric, values, floor, how, f"[{name}]")
        return found

    def floor(self, metric: Metric, stand_in: Features, real: Features, training: Features) -> Values:
        """What the metric says of real images; nothing if too few of them were trained on."""
        if self.train is None or (metric.by_class and not self.enough(metric, real, stand_in)):
            return {}
        return metric.floor(stand_in, real, training)

    def enough(self, metric: Metric, real: Features, other: Features) -> bool:
        """Whether a metric can compare so few images."""
        try:
            metric.check(Counts(self.extractor, "", len(real), len(other), 0))
        except DataError:
            return False
        return True

    def how(self, count: int) -> dict[str, Any]:
        """What every result says of its making."""
        real, data = self.real, self.held_out
        return {
            "on": f"{count:,} samples against {len(real):,} {data.split} images of {data.name}",
            "floor_on": "none were trained on, as far as is known"
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
    """A metric's values as a report keeps them; what too few samples leave undefined is left out."""
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
    """Name, samples, held-out and training images of each class, if samples have labels.

    A class without held-out images is a `DataError`, or, if `lenient`, left out.
    """
    if fake.labels is None:
        return []
    if real.labels is None:
        raise DataError("the samples have classes, but the held-out images have no labels to compare by")
    found = []
    for label in torch.arange(len(classes)):
        parts = [part_of(side, label) for side in (fake, real, stand_in)]
        if not len(parts[1]):
            if lenient:
                continue
            raise DataError(f"class {classes[int(label)]} has no held-out images, so it can't be measured")
        found.append((classes[int(label)], *parts))
    return found


def part_of(seen: Features, label: torch.Tensor) -> Features:
    """Those of one class; none where labels are unknown."""
    known = seen.labels if seen.labels is not None else torch.full((len(seen),), -1)
    return seen.select(known == label)
