"""`Evaluator` measures samples against held-out images, whose features and floors it computes once."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import torch

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError
from gantl_zoo.metrics.catalogue import AUTO, choose
from gantl_zoo.metrics.extract import Crew, Features, Images, Progress, extract, plain
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.metric import Counts, Metric, Values
from gantl_zoo.metrics.neighbours import HELD_OUT
from gantl_zoo.metrics.perceptual import FeatureMaps
from gantl_zoo.metrics.references import References, by_class, joined, part_of
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
    of_maps: Evaluator | None = field(init=False, default=None)  # measures the metrics of feature maps

    def __post_init__(self) -> None:
        self.extractor.check(self.held_out.shape)
        learned = len(self.training_images or ())
        real = min(self.samples, len(self.held_out))
        seen_too = real + min(self.samples, len(self.train)) if self.few and self.train else real
        terms = Counts(self.extractor, self.held_out.name, real, self.samples, learned, seen_too)
        self.chosen = choose(self.metrics, terms, self.quick)
        if not isinstance(self.extractor, FeatureMaps):
            of_maps = tuple(name for name, metric in self.chosen.items() if metric.maps)
            self.chosen = {name: metric for name, metric in self.chosen.items() if not metric.maps}
            self.of_maps = self.with_maps(of_maps) if of_maps else None

    def with_maps(self, metrics: tuple[str, ...]) -> Evaluator:
        """The evaluator of metrics that compare feature maps, of as many images as fit into memory."""
        maps = FeatureMaps(self.extractor, self.held_out.shape)
        return replace(self, extractor=maps, metrics=metrics, samples=min(self.samples, maps.most))

    @property
    def training_images(self) -> ImageData | None:
        """The images that the model was trained on, if they are known."""
        return self.train if self.learned is None else self.learned

    @cached_property
    def real(self) -> Features:
        """Features of held-out images: a random subset of `samples` images, or all."""
        return self.extract(Images.part(self.held_out, self.samples))

    @cached_property
    def training(self) -> Features:
        """Features of the model's training images in a fixed random order, if a metric needs them."""
        data = self.training_images
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
        report = Report(notes=self.notes())
        if self.chosen or self.of_maps is None:
            report.results += self.results(samples)
        if self.of_maps is not None:
            report.results += self.of_maps(samples.first(self.of_maps.samples)).results
        return report

    def results(self, samples: Images) -> list[Result]:
        """The results of the evaluator's own metrics."""
        fake, measured = self.extract(samples), list[Result]()
        for name, metric in self.chosen.items():
            real = self.references(metric)
            if name not in self.floors:
                self.floors[name] = self.floor(metric, real, self.training)
            part = self.as_many(metric, fake, real)
            values = metric.measure(part, real.real, self.training)
            measured += results(metric, values, self.floors[name], self.how(metric, len(part)))
        if any(metric.by_class for metric in self.chosen.values()):
            lenient = self.quick or AUTO in self.metrics
            for label, name in by_class(fake, self.real, self.held_out.classes, lenient):
                measured += self.of_class(label, name, fake)
        return measured

    def as_many(self, metric: Metric, fake: Features, real: References) -> Features:
        """The samples, or as many as the floor has images if the metric depends on the number."""
        if not metric.sized or self.train is None or not self.enough(metric, real.against, real.stand_in):
            return fake
        return fake.select(slice(len(real.stand_in)))

    def references(self, metric: Metric) -> References:
        """The real images of a metric."""
        if metric.alone:
            shown = self.real if self.train is None else self.stand_in
            return References(shown, shown, shown)
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
        if self.train is None and not metric.alone:
            return {}
        if metric.by_class and not self.enough(metric, real.against, real.stand_in):
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
        compared = self.compared(metric)
        return {
            **compared,
            "on": f"{count:,} samples {compared['on']}",
            "samples": count,
            "data_fingerprint": self.held_out.fingerprint,
            "extractor": self.extractor.name,
            "extractor_sha256": self.extractor.sha256,
            "convention": self.extractor.convention,
            "seed": METRIC_SEED,
        }

    def compared(self, metric: Metric) -> dict[str, Any]:
        """The real images that samples, and those of the floor, are compared with."""
        real, split, name = self.references(metric), self.held_out.split, self.held_out.name
        floor_on = "no training images are known"
        if metric.alone:
            split = (self.train or self.held_out).split
            on = f"with each other, beside {len(real.real):,} {split} images of {name}"
            floor_on = f"{len(real.real):,} {split} images with each other"
        elif real.against is not real.real:
            seen = len(self.training_images or ())
            on = f"against all {len(real.real):,} images of {name}, {seen:,} of which are training images"
            split, floor_on = "all", "a random half of these against the other half"
        else:
            on = f"against {len(real.real):,} {split} images of {name}"
            if metric.needs_train and self.training_images:
                on = f"against {len(self.training_images):,} training images of {name}, "
                on += f"beside {len(real.real):,} {split} images"
                floor_on = f"these {split} images against the same"
            elif self.train is not None:
                floor_on = f"{len(self.stand_in):,} {self.train.split} images against the same"
        return {"on": on, "floor_on": floor_on, "real": len(real.real), "split": split}


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
