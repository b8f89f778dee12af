"""`Check`: one convention that a plug-in keeps. `run` checks several. Nothing here needs pytest."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from gantl_zoo.console import warn
from gantl_zoo.errors import PluginError, UsageError, unknown

OnFail = Literal["raise", "warn"] | None


class ConformanceError(PluginError):
    """An object breaks a convention. `results` are those of all checks, if several ran."""

    def __init__(self, text: str, results: Sequence[CheckResult] = ()) -> None:
        super().__init__(text)
        self.results = list(results)


class Skip(Exception):
    """Raised inside a check that has no meaning for an object; its text is the reason.

    With `needed=True` the checks that need this one are skipped, too.
    """

    def __init__(self, reason: str, needed: bool = False) -> None:
        super().__init__(reason)
        self.needed = needed


@dataclass(frozen=True)
class CheckResult:
    """The result of one check.

    `status` is "passed", "failed", "skipped", "xfailed" for a failure that was expected, or "xpassed" for a
    check that passed although a failure was expected. `reason` is empty for a check that passed.
    """

    check: str
    status: str
    reason: str = ""
    seconds: float = 0.0

    @property
    def wrong(self) -> bool:
        """Whether it is a failure: "failed" or "xpassed"."""
        return self.status in ("failed", "xpassed")


@dataclass(frozen=True)
class Check:
    """A convention. `broken(subject)` returns what was found and what to do, or "" if the convention holds.

    `needs` names the checks that must not fail for this one to have a meaning.
    """

    name: str
    convention: str
    broken: Callable[[Any], str]
    needs: tuple[str, ...] = ()

    def __call__(self, subject: Any) -> None:
        """Raise `ConformanceError` if the convention does not hold, `Skip` if it has no meaning."""
        try:
            wrong = self.broken(subject)
        except Skip:
            raise
        except Exception as error:  # in the code of a plug-in
            cause = " ".join(str(error).split())[:300]
            wrong = cause if isinstance(error, PluginError) else f"{type(error).__name__}: {cause}"
        if wrong:
            what = f"{subject} fails the check {self.name}"
            raise ConformanceError(f"{what}: {self.convention}, but {wrong} ({subject.guide})")


@dataclass
class Suite:
    """The checks of one kind of objects, in their order."""

    checks: list[Check] = field(default_factory=list)

    def check(self, name: str, needs: str = "") -> Callable[[Callable[[Any], str]], Callable[[Any], str]]:
        """Add a function as a check, whose docstring is the convention. `needs` are names of other checks."""

        def add(function: Callable[[Any], str]) -> Callable[[Any], str]:
            text = " ".join((function.__doc__ or "").split()).rstrip(".")
            convention = text[:1].lower() + text[1:]
            self.checks.append(Check(name, convention, function, tuple(needs.split())))
            return function

        return add


def run(
    checks: Sequence[Check],
    subject: Any,
    *,
    on_fail: OnFail = "raise",
    expected_failures: Mapping[str, str] | None = None,
) -> list[CheckResult]:
    """Run all checks of a subject. Returns a result for each.

    `expected_failures` maps names of checks to the reasons why they fail; one that passes is a failure. After
    a failure, `on_fail="raise"` raises `ConformanceError` at the end, "warn" logs a warning for each, None
    does neither. Raises `UsageError` for an expected failure of an unknown check.
    """
    expected = dict(expected_failures or {})
    if on_fail not in ("raise", "warn", None):
        raise UsageError(f"on_fail must be 'raise', 'warn' or None, not {on_fail!r}")
    if wrong := [name for name in expected if name not in {check.name for check in checks}]:
        raise UsageError(unknown("check", wrong, [check.name for check in checks]))
    failed: set[str] = set()
    results = [result_of(check, subject, failed, expected.get(check.name)) for check in checks]
    failures = [one for one in results if one.wrong]
    if on_fail == "warn":
        for one in failures:
            warn(one.reason)
    if on_fail == "raise" and failures:
        more = f" (and {len(failures) - 1} more failures)" if len(failures) > 1 else ""
        raise ConformanceError(failures[0].reason + more, results)
    return results


def result_of(check: Check, subject: Any, failed: set[str], expected: str | None = None) -> CheckResult:
    """The result of one check, which is skipped if one that it needs is among the `failed` ones.

    Adds its name to them if it fails.
    """
    start = time.perf_counter()
    if missing := [name for name in check.needs if name in failed]:
        failed.add(check.name)
        return CheckResult(check.name, "skipped", f"it needs the check {missing[0]}")
    status, reason = "passed", ""
    try:
        check(subject)
    except Skip as skip:
        status, reason = "skipped", str(skip)
        failed |= {check.name} if skip.needed else set()
    except ConformanceError as error:
        status, reason = "failed", str(error)
        failed.add(check.name)
    if expected is not None and status == "failed":
        status, reason = "xfailed", expected
    elif expected is not None and status == "passed":
        status = "xpassed"
        reason = f"{subject} passes the check {check.name}, which was expected to fail: {expected}"
    return CheckResult(check.name, status, reason, round(time.perf_counter() - start, 3))
