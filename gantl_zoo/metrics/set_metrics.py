"""Metrics that compare two sets: the Fréchet and the kernel distance, precision and recall."""

from __future__ import annotations

from gantl_zoo.metrics.distance import (
    COMPONENTS,
    WIDE,
    check_frechet,
    check_kernel,
    frechet,
    kernel,
    principal,
)
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.metric import Counts, Metric, Values
from gantl_zoo.metrics.neighbours import check_manifolds, manifolds, supports
from gantl_zoo.metrics.result import PCA


class Frechet(Metric):
    """The Fréchet distance, fd.

    Over more than 512 features it is also measured on the first 64 principal components of the held-out
    images, since a covariance of that many features needs thousands of images. That value comes first; the
    one on all features follows where there are more images than features, unless `quick`.
    """

    quick = False
    lower, by_class, sized = ("fd", f"fd{PCA}"), True, True

    def check(self, terms: Counts) -> None:
        wide = terms.extractor.num_features > WIDE
        check_frechet(terms.real, terms.fake, COMPONENTS if wide else terms.extractor.num_features)

    def in_training(self) -> Metric:
        return QuickFrechet()

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        wide = real.features.shape[1] > WIDE
        values = {f"fd{PCA}": frechet(*principal(real.features, fake.features))} if wide else {}
        if not wide or (not self.quick and min(len(real), len(fake)) > real.features.shape[1]):
            values["fd"] = frechet(real.features, fake.features)
        return values


class QuickFrechet(Frechet):
    """The Fréchet distance as it is measured during training."""

    quick = True


class Kernel(Metric):
    """The kernel distance, kd."""

    lower, by_class, seen_too = ("kd",), True, True

    def check(self, terms: Counts) -> None:
        check_kernel(terms.seen_too, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"kd": kernel(real.features, fake.features)}


class Manifolds(Metric):
    """Precision, recall, density and coverage, as published."""

    by_class = sized = True

    def check(self, terms: Counts) -> None:
        check_manifolds(terms.real, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return manifolds(real.features, fake.features)


class Supports(Manifolds):
    """Complement precision and recall: the figures of this kind that get worse with every kind of damage."""

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return supports(real.features, fake.features)
