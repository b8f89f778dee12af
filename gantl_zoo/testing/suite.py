"""The public functions: one for each kind of objects, one for any registered name, one for pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypedDict

from typing_extensions import Unpack

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.testing import content, losses, models, network, networks, strategies
from gantl_zoo.testing.check import Check, CheckResult, OnFail, Suite, run
from gantl_zoo.testing.subject import Subject, named

SUITES: dict[str, tuple[type[Subject], Suite]] = {
    "generators": (network.Network, networks.GENERATORS),
    "discriminators": (network.Network, networks.DISCRIMINATORS),
    "backbones": (network.Network, networks.BACKBONES),
    "strategies": (strategies.Strategy, strategies.SUITE),
    "losses": (losses.Setting, losses.LOSSES),
    "augmentations": (losses.Setting, losses.AUGMENTATIONS),
    "regularizers": (losses.Setting, losses.REGULARIZERS),
    "presets": (Subject, content.PRESETS),
    "datasets": (content.Dataset, content.DATASETS),
    "metrics": (content.MetricSubject, content.METRICS),
    "weights": (Subject, content.WEIGHTS),
    "formats": (Subject, content.FORMATS),
    "models": (models.ModelFolder, models.SUITE),
}


class Options(TypedDict, total=False):
    """What all check functions take; see `run`."""

    on_fail: OnFail
    expected_failures: Mapping[str, str] | None


def check_name(
    kind: str, target: Any, config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Run the checks of a registry, such as "generators", on one of its names or on an object.

    An object is what would be registered: a builder, a class, a function. `config` are the arguments that it
    is built with, by default none. Options and errors are those of `run`.
    """
    with named(kind, target) as name:
        checks, subject = checks_for(kind, name, config)
        return run(checks, subject, **options)


def checks_for(kind: str, name: str, config: Mapping[str, Any] | None = None) -> tuple[list[Check], Subject]:
    """The checks of a registered name, in their order, and the subject that each is called with."""
    if kind not in SUITES:
        raise UsageError(unknown("kind", kind, SUITES))
    subject, suite = SUITES[kind]
    given: dict[str, Any] = {"kind": kind, "name": name}
    if config is not None:
        given["config"] = dict(config)
    return suite.checks, subject(**given)


def check_generator(
    target: str | Callable[..., Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a generator, by its registered name or its builder. Raises as `run` does."""
    return check_name("generators", target, config, **options)


def check_discriminator(
    target: str | Callable[..., Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a discriminator, by its registered name or its builder. Raises as `run` does."""
    return check_name("discriminators", target, config, **options)


def check_backbone(
    target: str | Callable[..., Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a backbone, by its registered name or its builder. Raises as `run` does."""
    return check_name("backbones", target, config, **options)


def check_strategy(
    target: str | type[Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a transfer strategy, by its registered name or its class. Raises as `run` does."""
    return check_name("strategies", target, config, **options)


def check_loss(
    target: str | type[Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a loss, by its registered name or its class. Raises as `run` does."""
    return check_name("losses", target, config, **options)


def check_augmentation(
    target: str | type[Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check an augmentation, by its registered name or its class. Raises as `run` does."""
    return check_name("augmentations", target, config, **options)


def check_regularizer(
    target: str | type[Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a regularizer, by its registered name or its class. Raises as `run` does."""
    return check_name("regularizers", target, config, **options)


def check_metric(
    target: str | type[Any], config: Mapping[str, Any] | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a metric, by its registered name or its class. Raises as `run` does."""
    return check_name("metrics", target, config, **options)


def check_preset(target: Any, **options: Unpack[Options]) -> list[CheckResult]:
    """Check a preset, by its registered name or the `gz.Preset`. Raises as `run` does."""
    return check_name("presets", target, **options)


def check_dataset(
    target: str | Callable[..., Any], *, root: str | Path | None = None, **options: Unpack[Options]
) -> list[CheckResult]:
    """Check a data set, by its registered name or its function. `root` is the folder for downloads.

    Checks are skipped if the data can't be read here. Raises as `run` does.
    """
    with named("datasets", target) as name:
        return run(content.DATASETS.checks, content.Dataset("datasets", name, root=root), **options)


def check_model_folder(target: str | Path, **options: Unpack[Options]) -> list[CheckResult]:
    """Check a model folder, by its path or the name of a released model. Raises as `run` does."""
    return run(models.SUITE.checks, models.ModelFolder(name=str(target)), **options)
