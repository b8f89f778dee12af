"""`Evaluator` measures samples against held-out images, whose features and floors it computes once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError
from gantl_zoo.metrics.catalogue import AUTO, choose
from gantl_zoo.metrics.extract import Crew, Features, Images, Progress, extract, plain
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.metric import Counts, Metric, Values
from gantl_zoo.metrics.neighbours import HELD_OUT
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
        seen_too = real + min(self.samples, len(self.train)) if self.few and self.train else real
        terms = Counts(self.extractor, self.held_out.name, real, self.samples, learned, seen_too)
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
    def few(self) -> bool:
        """Whether distances also compare training images, because too few images are held out."""
        return self.train is not None and len(self.held_out) < HELD_OUT

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
        report = Report(notes=self.notes())
        for name, metric in self.chosen.items():
            real = self.references(metric)
            if name not in self.floors:
                self.floors[name] = self.floor(metric, real, self.training)
            part = self.as_many(metric, fake, real)
            values = metric.measure(part, real.real, self.training)
            report.results += results(metric, values, self.floors[name], self.how(metric, len(part)))
        lenient = self.quick or AUTO in self.metrics
        for label, name in by_class(fake, self.real, self.held_out.classes, lenient):
            report.results += self.of_class(label, name, fake)
        return report

    def as_many(self, metric: Metric, fake: Features, real: References) -> Features:
        """The samples, or as many as the floor has images if the metric depends on the number."""
        if not metric.sized or self.train is None or not self.enough(metric, real.against, real.stand_in):
            return fake
        return fake.select(slice(len(real.stand_in)))

    def references(self, metric: Metric) -> References:
        """The real images of a metric."""
        return self.all_real if metric.seen_too and self.few else self.unseen

    @cached_property
    def unseen(self) -> References:
        """Held-out images; for the floor, training images are compared with them."""
        return References(self.real, self.stand_in, self.real)

    @cached_property
    def all_real(self) -> References:
        """Held-out and training images; for the floor, a random half of them is compared with the other."""
        both = joined(self.real, self.stand_in)
        order = torch.randperm(len(both), generator=torch.Generator().manual_seed(0))
        first, second = order.tensor_split(2)
        return References(both, both.select(first), both.select(second))

    def of_class(self, label: int, name: str, fake: Features) -> list[Result]:
        """The per-class metrics of one class, without those for which it has too few images."""
        rows, part = [], part_of(fake, label)
        for metric in (metric for metric in self.chosen.values() if metric.by_class):
            real = self.references(metric).of_class(label)
            some = self.as_many(metric, part, real)
            if self.enough(metric, real.real, some):
                values = metric.measure(some, real.real, real.real)
                floor = self.floor(metric, real, real.real)
                rows += results(metric, values, floor, self.how(metric, len(fake)), f"[{name}]")
        return rows

    def floor(self, metric: Metric, real: References, training: Features) -> Values:
        """The metric's floor; {} without training images, or with too few of them."""
        if self.train is None or (metric.by_class and not self.enough(metric, real.against, real.stand_in)):
            return {}
        return metric.floor(real.stand_in, real.against, training)

    def enough(self, metric: Metric, real: Features, other: Features) -> bool:
        """Whether there are enough images for a metric."""
        try:
            metric.check(Counts(self.extractor, "", len(real), len(other), 0, len(real)))
        except DataError:
            return False
        return True

    def notes(self) -> list[str]:
        """What follows from few held-out images, in one sentence."""
        count, name = len(self.held_out), self.held_out.name
        if count >= HELD_OUT:
            return []
        whole = "kd compares samples with all images of the data, and " if self.few else ""
        why = f"{whole}precision and recall are not measured, because they need {HELD_OUT}"
        held_out = f"image of {name} is" if count == 1 else f"images of {name} are"
        return [f"note: only {count} {held_out} held out, so {why}"]

    def how(self, metric: Metric, count: int) -> dict[str, Any]:
        """The keys that all results of a metric share: data, counts, extractor, seed."""
        real, data = self.references(metric), self.held_out
        on, floor_on = (
            f"{len(real.real):,} {data.split} images of {data.name}",
            "no training images are known",
        )
        if self.train is not None:
            floor_on = f"{len(self.stand_in):,} {self.train.split} images against the same"
        if real.against is not real.real and self.train is not None:
            seen = len(self.train if self.learned is None else self.learned)
            on = f"all {len(real.real):,} images of {data.name}, {seen:,} of which are training images"
            floor_on = "a random half of these against the other half"
        return {
            "on": f"{count:,} samples against {on}",
            "floor_on": floor_on,
            "samples": count,
            "real": len(real.real),
            "split": data.split if real.against is real.real else "all",
            "data_fingerprint": data.fingerprint,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "convention": self.extractor.convention,
            "seed": METRIC_SEED,
        }


@dataclass(frozen=True)
class References:
    """Features of real images: `real` for samples, and for the floor `stand_in` for samples of `against`."""

    real: Features
    stand_in: Features
    against: Features

    def of_class(self, label: int) -> References:
        """The images of one class."""
        return References(*(part_of(side, label) for side in (self.real, self.stand_in, self.against)))


def results(
    metric: Metric, values: Values, floors: Values, how: dict[str, Any], suffix: str = ""
) -> list[Result]:
    """A metric's values as entries of a report, without those that are not finite."""
    rows = []
    for name, value in values.items():
        result = entry(f"{name}{suffix}", value, floors.get(name), how)
        floor = result.get("floor")
        if floor is not None and not math.isfinite(floor):
            result["floor"] = None
        if math.isfinite(result["value"]):
            result["better"] = direction(metric, name)
            rows.append(result)
    return rows


def direction(metric: Metric, name: str) -> str:
    """Which values are better: "lower", "higher", or "" for a value without a direction."""
    return "lower" if name in metric.lower else "" if name in metric.neutral else "higher"


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
