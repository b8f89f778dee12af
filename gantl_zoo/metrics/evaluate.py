"""`Evaluator`: held-out images, their features and floors, computed once; then any samples against them."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError
from gantl_zoo.metrics.distance import frechet
from gantl_zoo.metrics.features import ClassifierFeatures, Extractor

METRICS = ("fd", "classes")
METRIC_SEED = 1_000_000  # samples for metrics come from seeds that nobody looks at


@dataclass
class Report:
    """Results as JSON-able dicts: name, value, floor, and what they were measured on."""

    results: list[dict[str, Any]] = field(default_factory=list)

    def __getitem__(self, name: str) -> float:
        """The value of the metric `name`, in full or without its extractor ("fd")."""
        for result in self.results:
            if name in (result["name"], result["metric"]):
                return float(result["value"])
        raise KeyError(name)

    def __str__(self) -> str:
        lines = []
        for result in self.results:
            floor = result.get("floor")
            multiple = f"  ({result['value'] / floor:.1f} × the floor {floor:.4g})" if floor else ""
            lines.append(f"{result['name']:32} {result['value']:10.4g}{multiple}")
        return "\n".join([*lines, self.results[0]["on"]] if lines else ["nothing measured"])


@dataclass
class Evaluator:
    """Judges samples against `held_out` images; `train` images of the same count give the floor."""

    extractor: Extractor
    train: ImageData
    held_out: ImageData
    metrics: tuple[str, ...] = METRICS
    samples: int = 10_000

    def __post_init__(self) -> None:
        if unknown := set(self.metrics) - set(METRICS):
            raise UsageError(f"unknown metric {', '.join(sorted(unknown))}; there are: {', '.join(METRICS)}")

    @cached_property
    def real(self) -> Tensor:
        """Features of the held-out images: a random part if there are more than samples, since the first
        may be of one kind (the first half of MNIST's test images is the easier one).
        """
        return self.extractor(self.held_out.few(min(self.samples, len(self.held_out)), seed=0).images)

    @cached_property
    def floor(self) -> float:
        """The distance of as many training images, the best that a generator can hope for."""
        count = min(len(self.real), len(self.train))
        return frechet(self.real, self.extractor(self.train.few(count, seed=0).images))

    def __call__(self, images: Tensor) -> Report:
        """All metrics of generated images (N, C, H, W) in [-1, 1]."""
        report = Report()
        for metric in self.metrics:
            for name, value, floor in getattr(self, f"_{metric}")(images):
                report.results.append(
                    {
                        "name": f"{name}_{self.extractor.name}",
                        "metric": name,
                        "value": value,
                        "floor": floor,
                        "on": f"{len(images):,} samples against {len(self.real):,} {self.held_out.split} "
                        f"images of {self.held_out.name}",
                        "extractor": self.extractor.name,
                        "data_fingerprint": self.held_out.fingerprint,
                    }
                )
        return report

    def _fd(self, images: Tensor) -> list[tuple[str, float, float | None]]:
        return [("fd", frechet(self.real, self.extractor(images)), self.floor)]

    def _classes(self, images: Tensor) -> list[tuple[str, float, float | None]]:
        """How a classifier of this very data sorts the samples; nothing for other extractors."""
        extractor = self.extractor
        if not isinstance(extractor, ClassifierFeatures) or extractor.trained_on != self.held_out.name:
            return []
        confidence, found = extractor.probabilities(images).max(1)
        share = torch.bincount(found, minlength=extractor.network.num_classes) / len(images)
        return [
            ("class_share_min", float(share.min()), None),
            ("class_share_max", float(share.max()), None),
            ("confidence", float(confidence.mean()), None),
        ]
