"""The metrics that have a name. Each measures samples (`fake`) against held-out images (`real`).

`train` are the images that the model was trained on. A metric's floor is what it says of real images in the
samples' place: as many training images, or held-out ones where training images would be the answer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gantl_zoo.errors import DataError, UnknownNameError, UsageError, unknown
from gantl_zoo.metrics.classification import classes, inception_score, modes
from gantl_zoo.metrics.distance import Interval, check_frechet, check_kernel, frechet, kernel
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.metrics.memorisation import copies, diversity, informed
from gantl_zoo.metrics.neighbours import check_manifolds, manifolds
from gantl_zoo.registry.arguments import fits

Values = Mapping[str, float | Interval]
FEW = 1000  # training images up to which a set counts as few
UNSEEN = 5  # held-out images that tell how near new ones come


@dataclass(frozen=True)
class Counts:
    """What a metric can count on."""

    extractor: Extractor
    data: str
    real: int
    fake: int
    train: int


class Metric:
    """The base class. `lower` names the values that are better when lower; the others when higher."""

    lower: tuple[str, ...] = ()
    by_class = False  # whether it is measured class by class, too, for class-conditional models
    needs_train = False

    def check(self, terms: Counts) -> None:
        """Raises `DataError` or `UsageError` if it can't be measured, before anything is."""

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        """Its values by name."""
        raise NotImplementedError

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        """The same of real images: `stand_in` are as many training images as there are samples."""
        return self.measure(stand_in, real, train)


class Frechet(Metric):
    lower, by_class = ("fd",), True

    def check(self, terms: Counts) -> None:
        check_frechet(terms.real, terms.fake, terms.extractor.num_features)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"fd": frechet(real.features, fake.features)}


class Kernel(Metric):
    lower, by_class = ("kd",), True

    def check(self, terms: Counts) -> None:
        check_kernel(terms.real, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"kd": kernel(real.features, fake.features)}


class Manifolds(Metric):
    by_class = True

    def check(self, terms: Counts) -> None:
        check_manifolds(terms.real, terms.fake)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return manifolds(real.features, fake.features)


class Classes(Metric):
    name, lower = "classes", ("class_share_max",)

    def check(self, terms: Counts) -> None:
        extractor = terms.extractor
        if not extractor.num_logits or extractor.trained_on != terms.data:
            knows = f"was trained on {extractor.trained_on}" if extractor.trained_on else "is no classifier"
            raise UsageError(
                f"the metric {self.name} needs a classifier of {terms.data} as extractor; {extractor.name} "
                f"{knows}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None and real.logits is not None  # as checked
        found = classes(fake.logits, real.logits)
        if fake.labels is not None:  # what was asked for
            found["class_match"] = float((fake.logits.argmax(1) == fake.labels).double().mean())
        return found


class Modes(Classes):
    name, lower = "modes", ("mode_kl",)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # as checked
        return modes(fake.logits)


class InceptionScore(Metric):
    def check(self, terms: Counts) -> None:
        if not terms.extractor.num_logits:
            raise UsageError(
                f"the metric is needs a classifier as extractor, such as cnn-mnist; {terms.extractor.name} "
                "gives features only"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # as checked
        return {"is": inception_score(fake.logits)}


class Copies(Metric):
    lower, needs_train = ("copies",), True

    def check(self, terms: Counts) -> None:
        if terms.real < UNSEEN:
            raise DataError(
                f"the metric memory needs at least {UNSEEN} held-out images to tell how near new images "
                f"come to the training images; there are {terms.real}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return copies(fake.features, real.features, train.features)

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return copies(real.features, real.features, train.features)


class Informed(Metric):
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
QUICK = ("fd", "kd", "classes")  # what a run measures while it trains: of fd and kd the first that can be
# a second Fréchet distance, where `memory` says the same in plainer numbers; `classes` for a thousand of them
ON_REQUEST = ("mifid", "modes")
AUTO, NONE = "auto", "none"


def named(wish: str | Sequence[str]) -> tuple[str, ...]:
    """The names in `"fd,kd"` or `("fd", "kd")`; "auto" is one, "none" is nothing. Raises `UsageError`."""
    if not fits(wish, str | Sequence[str]):
        raise UsageError(f"metrics are names, such as 'fd,kd' or ('fd', 'kd'), not {wish!r}")
    names = [name.strip() for name in wish.split(",")] if isinstance(wish, str) else wish
    names = tuple(name for name in names if name)
    if names == (NONE,):
        return ()
    if wrong := [name for name in names if name not in (*METRICS, AUTO)]:
        raise UnknownNameError(unknown("metric", wrong, (AUTO, *METRICS), hint=f"or {NONE} alone"))
    return names


def choose(names: tuple[str, ...], terms: Counts, quick: bool = False) -> dict[str, Metric]:
    """The metrics of those names; "auto": all that can be measured but those `ON_REQUEST`, or a run's `quick`
    ones.

    Raises `UsageError` for an unknown name, and what `Metric.check` raises for one that was asked for.
    """
    names = named(names)
    chosen = automatic(terms, quick) if AUTO in names else {}
    for name in names:
        if name != AUTO:
            check(name, terms)
            chosen[name] = METRICS[name]
    return chosen


def check(name: str, terms: Counts) -> None:
    """Raises `DataError` or `UsageError` if that metric can't be measured."""
    if METRICS[name].needs_train and not terms.train:
        raise DataError(
            f"the metric {name} asks how near samples come to the images that were trained on, and nobody "
            "says which: name a folder, whose splits are known"
        )
    METRICS[name].check(terms)


def automatic(terms: Counts, quick: bool) -> dict[str, Metric]:
    """Whatever can be measured and need not be named."""
    chosen: dict[str, Metric] = {}
    for name in QUICK if quick else METRICS:
        if name in ON_REQUEST or (quick and name == "kd" and "fd" in chosen):
            continue
        try:
            check(name, terms)
        except (DataError, UsageError):
            continue
        chosen[name] = METRICS[name]
    return chosen
