"""The public functions: one for each kind of objects, one for any registered name, one for pytest."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypedDict

from typing_extensions import Unpack

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.registry.plugins import Entry, installed, normalise
from gantl_zoo.testing import content, losses, models, network, networks, strategies
from gantl_zoo.testing.check import Check, CheckResult, OnFail, Skip, Suite, result_of, run
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


def entries_of(plugin: str) -> Sequence[Entry]:
    """The registered names of a plug-in, without deprecated ones. Raises `UsageError` for another name."""
    found = [one for one in installed() if normalise(one.name) == normalise(plugin)]
    if not found:
        raise UsageError(unknown("plug-in", plugin, [one.name for one in installed()]))
    return [entry for entry in found[0].entries if not entry.instead]


def parametrize_checks(
    plugin: str,
    *,
    expected_failures: Mapping[str, str] | None = None,
    configs: Mapping[str, Any] | None = None,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorate a test function for pytest: it is called with `check`, once for each check of each name.

        @parametrize_checks("my-package", expected_failures={"my-net-by-seed": "it needs a batch"})
        def test_conformance(check):
            check()

    `expected_failures` maps `NAME-CHECK` to reasons; such a test must fail. `configs` maps names to the
    arguments that they are checked with.
    """
    import pytest

    expected, parameters = dict(expected_failures or {}), []
    for entry in entries_of(plugin):
        checks, subject = checks_for(entry.kind, entry.qualified, (configs or {}).get(entry.name))
        for check in checks:
            label = f"{entry.name}-{check.name}"
            reason = expected.pop(label, None)
            marks = [] if reason is None else [pytest.mark.xfail(reason=reason, strict=True)]
            parameters.append(pytest.param(Test(check, checks, subject), id=label, marks=marks))
    if expected:
        labels = [str(parameter.id) for parameter in parameters]
        raise UsageError(unknown("check", list(expected), labels))
    return pytest.mark.parametrize("check", parameters)


@dataclass
class Test:
    """A check as a test of pytest: called without arguments. Skips if a check that it needs fails."""

    check: Check
    checks: Sequence[Check]
    subject: Subject

    def __call__(self) -> None:
        import pytest

        failed: set[str] = set()
        for one in self.needed(self.check):  # a test may run alone, and in any order
            result_of(one, self.subject, failed)
        if missing := [name for name in self.check.needs if name in failed]:
            pytest.skip(f"it needs the check {missing[0]}")
        try:
            self.check(self.subject)
        except Skip as skip:
            pytest.skip(str(skip))

    def needed(self, check: Check) -> list[Check]:
        """The checks that a check needs, at any depth, in their order."""
        names, todo = set[str](), list(check.needs)
        while todo:
            name = todo.pop()
            names.add(name)
            todo += next(one.needs for one in self.checks if one.name == name)
        return [one for one in self.checks if one.name in names]
