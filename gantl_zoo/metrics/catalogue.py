"""Build the registered metrics, and choose those that a report shows."""

from __future__ import annotations

from collections.abc import Sequence

from gantl_zoo.errors import DataError, PluginError, UnknownNameError, UsageError, unknown
from gantl_zoo.metrics.metric import Counts, Metric
from gantl_zoo.registry.arguments import fits
from gantl_zoo.registry.builtins import metrics as registry

# What "auto" stands for, in the order of a report. Precision, density and coverage (pr), the Inception score
# and the diversity are left out: they can be better for damaged images than for real ones (docs/metrics.md).
# mifid repeats what fd and memory show, modes is `classes` for a thousand classes. Metrics of plug-ins are
# measured on request.
BY_DEFAULT = ("fd", "kd", "cpr", "memory", "classes")
QUICK = ("fd", "kd", "classes")  # measured during training; kd only where fd can't be measured
AUTO, NONE = "auto", "none"


def named(metrics: str | Sequence[str]) -> tuple[str, ...]:
    """The names in `"fd,kd"` or `("fd", "kd")`, also "auto"; () for "none". Raises `UsageError`."""
    if not fits(metrics, str | Sequence[str]):
        raise UsageError(f"metrics must be names, such as 'fd,kd' or ('fd', 'kd'), not {metrics!r}")
    names = [name.strip() for name in metrics.split(",")] if isinstance(metrics, str) else metrics
    names = tuple(name for name in names if name)
    if names == (NONE,):
        return ()
    if wrong := [name for name in names if name not in (*registry.names(), AUTO) and name not in registry]:
        raise UnknownNameError(unknown("metric", wrong, (AUTO, *registry.names()), hint=f"or {NONE} alone"))
    return names


def build_metric(name: str) -> Metric:
    """The registered metric. Raises `UnknownNameError`, or `PluginError` if it is not a `Metric`."""
    metric = registry.build(name)
    if not isinstance(metric, Metric):
        raise PluginError(f"metric {name!r} is a {type(metric).__name__}, not a gz.Metric")
    return metric


def choose(names: tuple[str, ...], terms: Counts, quick: bool = False) -> dict[str, Metric]:
    """The metrics with these names. "auto" stands for those of `BY_DEFAULT` that can be measured.

    `quick` reduces "auto" to the metrics that are measured during training. Raises `UsageError` for unknown
    names, and the error of `Metric.check` for an explicitly requested metric that can't be measured.
    """
    names = named(names)
    chosen = automatic(terms, quick) if AUTO in names else {}
    for name in names:
        if name != AUTO:
            chosen[name] = checked(name, terms, quick)
    return chosen


def checked(name: str, terms: Counts, quick: bool) -> Metric:
    """The metric `name`. Raises `DataError` or `UsageError` if it can't be measured."""
    metric = build_metric(name)
    if metric.needs_train and not terms.train:
        raise DataError(
            f"the metric {name} compares samples with the training images, which are not known here: "
            "give the data by its name or folder"
        )
    metric.check(terms)
    return metric.in_training() if quick else metric


def automatic(terms: Counts, quick: bool) -> dict[str, Metric]:
    """The metrics of "auto" that can be measured."""
    chosen: dict[str, Metric] = {}
    for name in QUICK if quick else BY_DEFAULT:
        if quick and name == "kd" and "fd" in chosen:
            continue
        try:
            chosen[name] = checked(name, terms, quick)
        except (DataError, UsageError):
            continue
    return chosen
