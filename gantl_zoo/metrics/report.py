"""`Report`: results as dicts that JSON can hold, and as a table that people can read."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gantl_zoo.metrics.distance import Interval


@dataclass
class Report:
    """What was measured. Each result tells name, value, interval, floor, and on what and how."""

    results: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)  # what makes the results doubtful

    def __getitem__(self, name: str) -> float:
        """The value of the metric `name`, in full or without its extractor ("fd"). Raises `KeyError`."""
        for result in self.results:
            if name in (result["name"], result["metric"]):
                return float(result["value"])
        raise KeyError(name)

    def __str__(self) -> str:
        if not self.results:
            return "nothing measured"
        width = max(len(result["name"]) for result in self.results)
        lines = [f"{'':{width}} {'value':>10}  {'real images':>11}"]
        lines += [row(result, width) for result in self.results]
        return "\n".join([*lines, *about(self.results[0]), *self.notes])


def row(result: dict[str, Any], width: int) -> str:
    """One line: a distance with its multiple of the floor, anything else beside what real images score."""
    floor, interval = result["floor"], ""
    if result["low"] is not None:
        interval = f"  [{result['low']:.4g}, {result['high']:.4g}]"
    beside = "" if floor is None else f"{floor:11.4g}"
    if floor and floor > 0 and result["metric"].split("[")[0] in ("fd", "kd", "mifid"):
        beside += f"  {result['value'] / floor:.1f} × the floor"
    return f"{result['name']:{width}} {result['value']:10.4g}  {beside:11}{interval}".rstrip()


def about(result: dict[str, Any]) -> list[str]:
    """How it was measured."""
    return [
        f"{result['on']} (fingerprint {result['data_fingerprint']}); beside them: {result['floor_on']}",
        f"extractor {result['extractor']} ({result['extractor_sha256']}): {result['convention']}; samples "
        f"are the seeds from {result['seed']:,} on",
    ]


def entry(name: str, value: float | Interval, floor: float | Interval | None, how: dict[str, Any]) -> Any:
    """One result; `how` is the same for all of a report."""
    low, high = (value.low, value.high) if isinstance(value, Interval) else (None, None)
    return {
        "name": f"{name}_{how['extractor']}",
        "metric": name,
        "value": value.value if isinstance(value, Interval) else value,
        "low": low,
        "high": high,
        "floor": floor.value if isinstance(floor, Interval) else floor,
        **how,
    }
