"""The registered metrics, and the choice of those that a report shows."""

from __future__ import annotations

from collections.abc import Sequence

from gantl_zoo.errors import DataError, UnknownNameError, UsageError, unknown
from gantl_zoo.metrics.class_metrics import Classes, InceptionScore, Modes
from gantl_zoo.metrics.metric import Counts, Metric
from gantl_zoo.metrics.set_metrics import Frechet, Kernel, Manifolds, Supports
from gantl_zoo.metrics.train_metrics import Copies, Diversity, Informed
from gantl_zoo.registry.arguments import fits

METRICS: dict[str, Metric] = {
    "fd": Frechet(),
    "kd": Kernel(),
    "cpr": Supports(),
    "pr": Manifolds(),
    "is": InceptionScore(),
    "mifid": Informed(),
    "memory": Copies(),
    "diversity": Diversity(),
    "classes": Classes(),
    "modes": Modes(),
}
QUICK = ("fd", "kd", "classes")  # measured during training; kd only where fd can't be measured
# Left out of "auto". Precision, density and coverage (pr), the Inception score and the diversity can be
# better for damaged images than for real ones (docs/metrics.md). mifid repeats what fd and memory show, modes
# is `classes` for a thousand classes.
ON_REQUEST = ("pr", "is", "mifid", "diversity", "modes")
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
