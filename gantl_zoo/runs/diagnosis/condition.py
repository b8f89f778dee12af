"""`Condition`: something that may be wrong with a run. `Finding`: that it is, with the evidence."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from gantl_zoo.runs.diagnosis.records import Records, Series


@dataclass(frozen=True)
class Finding:
    """A condition that a run has.

    `title` says what is going on, `evidence` is the numbers and their steps, `advice` is what to change, as
    typed on the command line. A `note` limits what the run can tell, but nothing went wrong.
    """

    name: str
    title: str
    evidence: str
    advice: str
    note: bool = False

    def __str__(self) -> str:
        return f"{self.name}: {self.evidence}; {self.advice}"


@dataclass(frozen=True)
class Condition:
    """One thing that may be wrong.

    `needs` names what the records must have: columns of stats.jsonl, or attributes of `Records`. `evidence`
    returns the numbers and their steps, or an empty string if the run does not have the condition. `advice`
    returns the options to change. `running` says whether it is also looked for before the end of the run.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    evidence: Callable[[Records], str]
    advice: Callable[[Records], str]
    running: bool = False
    note: bool = False

    def missing(self, records: Records) -> list[str]:
        """What the records lack to look for this condition."""
        return [name for name in self.needs if not has(records, name)]

    def find(self, records: Records) -> Finding | None:
        """The finding, or None if the run does not have this condition, or if that is not known."""
        if self.missing(records) or not (evidence := self.evidence(records)):
            return None
        return Finding(self.name, self.title, evidence, self.advice(records), self.note)


def has(records: Records, name: str) -> bool:
    """Whether the records have an attribute with a value, or else numbers in a column of that name."""
    if hasattr(records, name):
        return getattr(records, name) not in (None, [], {}, 0)
    return bool(records.series(name))


def tail(series: Series, holds: Callable[[float], bool]) -> Series:
    """The values at the end of a series for which `holds` is true without a gap."""
    last: Series = []
    for step, value in reversed(series):
        if not holds(value):
            break
        last.insert(0, (step, value))
    return last


def at(series: Iterable[tuple[int, float]]) -> str:
    """The steps of values, as "at steps 100, 200 and 300"; of many only the first and the last."""
    steps = [f"{step:,}" for step, _ in series]
    if len(steps) == 1:
        return f"at step {steps[0]}"
    if len(steps) > 4:
        return f"at {len(steps)} checks from step {steps[0]} to {steps[-1]}"
    return f"at steps {', '.join(steps[:-1])} and {steps[-1]}"


def tidy(number: float) -> str:
    """A number with two digits, as people type it."""
    return f"{float(f'{number:.1e}'):g}"
