"""The registered metrics. Each compares samples (`fake`) with held-out images (`real`).

`train` are the images that the model was trained on. A metric's floor is its value for real images in place
of samples: as many training images, or held-out images for metrics of memorisation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from gantl_zoo.errors import DataError, UnknownNameError, UsageError, unknown
from gantl_zoo.metrics.classification import classes, inception_score, modes
from gantl_zoo.metrics.distance import (
    COMPONENTS,
    WIDE,
    Interval,
    check_frechet,
    check_kernel,
    frechet,
    kernel,
    principal,
)
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.memorisation import copies, diversity, informed
from gantl_zoo.metrics.neighbours import check_manifolds, manifolds
from gantl_zoo.metrics.result import PCA
from gantl_zoo.registry.arguments import fits

Values = Mapping[str, float | Interval]
FEW = 1000  # the most training images for the metric diversity
UNSEEN = 5  # the fewest held-out images for the metric memory


@dataclass(frozen=True)
class Counts:
    """The extractor, the data's name, and the numbers of images that a metric would get."""

    extractor: Extractor
    data: str
    real: int
    fake: int
    train: int


class Metric:
    """Base class of metrics. `lower` names the values for which lower is better."""

    lower: tuple[str, ...] = ()
    by_class = False  # whether it is also measured per class for class-conditional models
    needs_train = False

    def check(self, terms: Counts) -> None:
        """Raise `DataError` or `UsageError` if the metric can't be measured."""

    def in_training(self) -> Metric:
        """The metric as it is measured during training, in less time."""
        return self

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        """The metric's values by name. `-pca64` at its end means the extractor's principal components."""
        raise NotImplementedError

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        """The values for real images: `stand_in` has as many training images as there are samples."""
        return self.measure(stand_in, real, train)


@dataclass(frozen=True)
class Frechet(Metric):
    """The Fréchet distance, fd.

    Over more than 512 features it is also measured on the first 64 principal components of the held-out
    images, since a covariance of that many features needs thousands of images. That value comes first; the
    one on all features follows where there are more images than features, unless `quick`.
    """

    quick: bool = False
    lower, by_class = ("fd", f"fd{PCA}"), True

    def check(self, terms: Counts) -> None:
        wide = terms.extractor.num_features > WIDE
        check_frechet(terms.real, terms.fake, COMPONENTS if wide else terms.extractor.num_features)

    def in_training(self) -> Metric:
        return replace(self, quick=True)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        wide = real.features.shape[1] > WIDE
        values = {f"fd{PCA}": frechet(*principal(real.features, fake.features))} if wide else {}
        if not wide or (not self.quick and min(len(real), len(fake)) > real.features.shape[1]):
            values["fd"] = frechet(real.features, fake.features)
        return values


class Kernel(Metric):
    """The kernel distance, kd."""

    lower, by_class = ("kd",), True

    def check(self, terms: Counts) -> None:
        check_kernel(terms.real, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"kd": kernel(real.features, fake.features)}


class Manifolds(Metric):
    """Precision, recall, density and coverage."""

    by_class = True

    def check(self, terms: Counts) -> None:
        check_manifolds(terms.real, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return manifolds(real.features, fake.features)


class Classes(Metric):
    """The distribution of samples over the classes, as predicted by a classifier of the same data."""

    name, lower = "classes", ("class_share_max",)

    def check(self, terms: Counts) -> None:
        extractor = terms.extractor
        if not extractor.num_logits or extractor.trained_on != terms.data:
            reason = (
                f"was trained on {extractor.trained_on}" if extractor.trained_on else "is not a classifier"
            )
            raise UsageError(
                f"the metric {self.name} needs a classifier of {terms.data} as extractor; {extractor.name} "
                f"{reason}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None and real.logits is not None  # by `check`
        found = classes(fake.logits, real.logits)
        if fake.labels is not None:  # the requested classes
            found["class_match"] = float((fake.logits.argmax(1) == fake.labels).double().mean())
        return found


class Modes(Classes):
    """The number of predicted classes, and the KL divergence of their shares from equal shares."""

    name, lower = "modes", ("mode_kl",)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # by `check`
        return modes(fake.logits)


class InceptionScore(Metric):
    """The Inception score, with any classifier as extractor."""

    def check(self, terms: Counts) -> None:
        if not terms.extractor.num_logits:
            raise UsageError(
                f"the metric is needs a classifier as extractor, such as cnn-mnist; {terms.extractor.name} "
                "has features only"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # by `check`
        return {"is": inception_score(fake.logits)}


class Copies(Metric):
    """Memorisation: distances of samples and of held-out images to the nearest training image."""

    lower, needs_train = ("copies",), True

    def check(self, terms: Counts) -> None:
        if terms.real < UNSEEN:
            raise DataError(
                f"the metric memory needs at least {UNSEEN} held-out images as a reference for new images, "
                f"not {terms.real}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return copies(fake.features, real.features, train.features)

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return copies(real.features, real.features, train.features)


class Informed(Metric):
    """The memorisation-informed Fréchet distance, mifid."""

    lower, needs_train = ("mifid",), True

    def check(self, terms: Counts) -> None:
        check_frechet(terms.real, terms.fake, terms.extractor.num_features)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        distance = frechet(real.features, fake.features)
        return {"mifid": informed(distance, fake.features, train.features)}

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        distance = frechet(real.features, stand_in.features)
        return {"mifid": informed(distance, real.features, train.features)}


class Diversity(Metric):
    """The intra-cluster distance of samples around few training images."""

    needs_train = True

    def check(self, terms: Counts) -> None:
        if not 2 <= terms.train <= FEW:
            raise DataError(
                f"the metric diversity is for 2 to {FEW:,} training images (--shots), not {terms.train:,}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"diversity": diversity(fake.features, train.features)}

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return {"diversity": diversity(real.features, train.features)}


METRICS: dict[str, Metric] = {
    "fd": Frechet(),
    "kd": Kernel(),
    "pr": Manifolds(),
    "is": InceptionScore(),
    "mifid": Informed(),
    "memory": Copies(),
    "diversity": Diversity(),
    "classes": Classes(),
    "modes": Modes(),
}
QUICK = ("fd", "kd", "classes")  # measured during training; kd only where fd can't be measured
# Left out of "auto": mifid repeats what fd and memory show, modes is `classes` for a thousand classes.
ON_REQUEST = ("mifid", "modes")
AUTO, NONE = "auto", "none"


def named(metrics: str | Sequence[str]) -> tuple[str, ...]:
    """The names in `"fd,kd"` or `("fd", "kd")`, also "auto"; () for "none". Raises `UsageError`."""
    if not fits(metrics, str | Sequence[str]):
        raise UsageError(f"metrics must be names, such as 'fd,kd' or ('fd', 'kd'), not {metrics!r}")
    names = [name.strip() for name in metrics.split(",")] if isinstance(metrics, str) else metrics
    names = tuple(name for name in names if name)
    if names == (NONE,):
        return ()
    if wrong := [name for name in names if name not in (*METRICS, AUTO)]:
        raise UnknownNameError(unknown("metric", wrong, (AUTO, *METRICS), hint=f"or {NONE} alone"))
    return names


def choose(names: tuple[str, ...], terms: Counts, quick: bool = False) -> dict[str, Metric]:
    """The metrics with these names. "auto" stands for all that can be measured except those `ON_REQUEST`.

    `quick` reduces "auto" to the metrics that are measured during training. Raises `UsageError` for unknown
    names, and the error of `Metric.check` for an explicitly requested metric that can't be measured.
    """
    names = named(names)
    chosen = automatic(terms, quick) if AUTO in names else {}
    for name in names:
        if name != AUTO:
            check(name, terms)
            chosen[name] = METRICS[name].in_training() if quick else METRICS[name]
    return chosen


def check(name: str, terms: Counts) -> None:
    """Raise `DataError` or `UsageError` if the metric `name` can't be measured."""
    if METRICS[name].needs_train and not terms.train:
        raise DataError(
            f"the metric {name} compares samples with the training images, which are not known here: "
            "give the data by its name or folder"
        )
    METRICS[name].check(terms)


def automatic(terms: Counts, quick: bool) -> dict[str, Metric]:
    """The metrics of "auto" that can be measured."""
    chosen: dict[str, Metric] = {}
    for name in QUICK if quick else METRICS:
        if name in ON_REQUEST or (quick and name == "kd" and "fd" in chosen):
            continue
        try:
            check(name, terms)
        except (DataError, UsageError):
            continue
        chosen[name] = METRICS[name].in_training() if quick else METRICS[name]
    return chosen
