"""`Diagnosis`: what is going on in a run, with the evidence and the option to change."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from gantl_zoo.runs.diagnosis.condition import Condition, Finding
from gantl_zoo.runs.diagnosis.records import Records
from gantl_zoo.runs.diagnosis.table import CONDITIONS

FEW = 100  # steps below which a run without a problem is not judged


@dataclass(frozen=True)
class Diagnosis:
    """The findings on a run, problems first, and the conditions that were looked for.

    `unknown` gives for each condition that could not be looked for what the records lack.
    """

    run: str
    steps: int
    done: int
    findings: tuple[Finding, ...]
    absent: tuple[str, ...] = ()
    unknown: tuple[tuple[str, str], ...] = ()

    @property
    def problems(self) -> tuple[Finding, ...]:
        """The findings that are not notes."""
        return tuple(finding for finding in self.findings if not finding.note)

    @property
    def judged(self) -> bool:
        """Whether the run has a problem, or records of enough steps to say that it has none."""
        return bool(self.problems) or (bool(self.absent) and self.done >= FEW)

    @property
    def healthy(self) -> bool:
        """Whether nothing went wrong in a run that can be judged, as far as the records show."""
        return self.judged and not self.problems

    @property
    def headline(self) -> str:
        """The verdict in a few words."""
        if not self.absent and not self.findings:
            return "nothing is known yet"
        if self.problems:
            return ", ".join(finding.title for finding in self.problems)
        return "healthy" if self.judged else "too few steps to judge"

    @property
    def summary(self) -> str:
        """The verdict in one line."""
        if not self.absent and not self.findings:
            return "nothing is known: the run has no records yet"
        notes = [finding for finding in self.findings if finding.note]
        if self.problems:
            first, *others = self.problems
            more = f" (also: {', '.join(one.title for one in [*others, *notes])})" if others or notes else ""
            return f"{first.title}: {first.evidence}; {first.advice}{more}"
        return "; ".join([self.outcome, *(f"{one.title} ({one.evidence}): {one.advice}" for one in notes)])

    @property
    def outcome(self) -> str:
        """What can be said of a run without problems; "" for a run with problems."""
        if self.problems:
            return ""
        if not self.absent:
            return "nothing could be looked for"
        if not self.judged:
            return f"no problem found, but {self.done} steps are too few to judge"
        return f"healthy: none of {len(self.absent)} problems found"

    def to_dict(self) -> dict[str, Any]:
        """The diagnosis as values that JSON can hold."""
        findings = [asdict(finding) for finding in self.findings]
        return {
            "run": self.run,
            "steps": self.steps,
            "done": self.done,
            "judged": self.judged,
            "healthy": self.healthy,
            "summary": self.summary,
            "findings": findings,
            "absent": list(self.absent),
            "unknown": dict(self.unknown),
        }

    def __str__(self) -> str:
        lines = [f"{self.run}: {self.done:,} of {self.steps:,} steps"]
        for finding in self.findings:
            kind = "note" if finding.note else "problem"
            lines += ["", f"{kind}: {finding.title} ({finding.name})"]
            lines += [f"  evidence: {finding.evidence}", f"  advice: {finding.advice}"]
        lines += ["", self.outcome] if self.outcome else []
        lines += ["", f"not present: {', '.join(self.absent)}"] if self.absent else []
        lines += [f"not known: {name} (the records lack {lack})" for name, lack in self.unknown]
        return "\n".join(lines)


def diagnose(run: str | Path) -> Diagnosis:
    """Read the records of the run folder `run` and say what is going on, with evidence and advice.

    Works during a run, too. Raises `TrainingError` if `run` is not the folder of a GAN's run.
    """
    return examine(Records.read(run), str(run))


def examine(records: Records, run: str = "", *, running: bool = False) -> Diagnosis:
    """The diagnosis of records. With `running`, only of what can be known before the end of a run."""
    asked = [one for one in CONDITIONS if one.running or not running]
    unknown = {one.name: ", ".join(one.missing(records)) for one in asked if one.missing(records)}
    findings = [finding for one in asked if (finding := one.find(records))]
    findings.sort(key=lambda finding: finding.note)  # stable: the order of the table within each kind
    named = {finding.name for finding in findings}
    absent = tuple(one.name for one in asked if one.name not in named and one.name not in unknown)
    return Diagnosis(run, records.steps, records.done, tuple(findings), absent, tuple(unknown.items()))


__all__ = ["Condition", "Diagnosis", "Finding", "diagnose", "examine"]
