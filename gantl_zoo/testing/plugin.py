"""The checks of all names of a plug-in: for the command line, and as tests of pytest."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from gantl_zoo.errors import PluginError, UsageError, unknown
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.imports import top_level
from gantl_zoo.registry.plugins import Entry, installed, normalise
from gantl_zoo.testing.check import Check, CheckResult, Skip, result_of, run
from gantl_zoo.testing.subject import Subject
from gantl_zoo.testing.suite import checks_for

EXPECTED = "GANTL_ZOO_EXPECTED_FAILURES"


def entries_of(plugin: str) -> Sequence[Entry]:
    """The registered names of a plug-in, without deprecated ones. Raises `UsageError` for another name."""
    plugins = [one for one in installed() if normalise(one.name) == normalise(plugin)]
    if not plugins:
        raise UsageError(unknown("plug-in", plugin, [one.name for one in installed()]))
    return [entry for entry in plugins[0].entries if not entry.instead]


def named_entries(name: str) -> list[Entry]:
    """The entries of a registered name, of each kind that has it."""
    return [registry.entry(name) for registry in REGISTRIES.values() if name in registry]


def name_of(entry: Entry) -> str:
    """The name of an entry, with its owner if another one has the bare name, too."""
    return entry.name if REGISTRIES[entry.kind].lookup(entry.name) == [entry] else entry.qualified


def expected_of(entry: Entry) -> dict[str, str]:
    """The expected failures of a name that its plug-in declares in its top-level package:

    GANTL_ZOO_EXPECTED_FAILURES = {"my-net-by-seed": "its noise is drawn anew each time"}
    """
    declared = getattr(sys.modules.get(top_level(entry.reference)), EXPECTED, {})
    start = f"{entry.name}-"
    return {key.removeprefix(start): reason for key, reason in declared.items() if key.startswith(start)}


def declared_by(entries: Iterable[Entry]) -> dict[str, str]:
    """The expected failures of all names, as `NAME-CHECK`."""
    reasons: dict[str, str] = {}
    for entry in entries:
        with suppress(PluginError):
            entry.load()
        reasons |= {f"{entry.name}-{check}": reason for check, reason in expected_of(entry).items()}
    return reasons


def unmatched(plugin: str) -> list[str]:
    """The expected failures that a plug-in declares for checks or names that it does not have, in words."""
    entries = entries_of(plugin)
    labels = [
        f"{one.name}-{check.name}" for one in entries for check in checks_for(one.kind, name_of(one))[0]
    ]
    declared = set[str]()
    for entry in entries:
        declared |= set(getattr(sys.modules.get(top_level(entry.reference)), EXPECTED, ()))
    return [
        f"{EXPECTED} of {plugin}: {unknown('check', key, labels)}" for key in sorted(declared - set(labels))
    ]


def checked(entry: Entry) -> list[CheckResult]:
    """The results of all checks of a registered name, with the failures that its plug-in expects."""
    with suppress(PluginError):  # the check "loads" reports it
        entry.load()
    checks, subject = checks_for(entry.kind, name_of(entry))
    known = {check.name for check in checks}
    expected = {check: reason for check, reason in expected_of(entry).items() if check in known}
    return run(checks, subject, on_fail=None, expected_failures=expected)


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

    `expected_failures` maps `NAME-CHECK` to reasons; such a test must fail. By default they are those that
    the package declares as GANTL_ZOO_EXPECTED_FAILURES. `configs` maps names to the arguments that they are
    checked with.
    """
    import pytest

    entries, parameters = entries_of(plugin), []
    expected = dict(declared_by(entries) if expected_failures is None else expected_failures)
    for entry in entries:
        checks, subject = checks_for(entry.kind, name_of(entry), (configs or {}).get(entry.name))
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
