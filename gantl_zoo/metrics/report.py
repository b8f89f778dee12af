"""`Report`: what was measured, as data, as a table, as Markdown and as a picture."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import UnknownNameError, UsageError, unknown
from gantl_zoo.metrics import table
from gantl_zoo.metrics.result import Result, flaw
from gantl_zoo.metrics.table import escaped

if TYPE_CHECKING:
    from gantl_zoo.metrics.picture import Picture


@dataclass(repr=False)
class Report:
    """The results for one model. `report["fd"]` is a value; iteration gives the `Result` dicts.

    `notes` are warnings about the results.
    """

    results: list[Result] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    model: str = ""

    def __getitem__(self, name: str) -> float:
        """The value of the metric `name`, with or without its extractor ("fd_cnn-mnist" or "fd").

        Raises `UnknownNameError`, which is a `KeyError`.
        """
        return float(self.result(name)["value"])

    def result(self, name: str) -> Result:
        """The whole result of the metric `name`. Raises as `report[name]` does."""
        for result in self.results:
            if name in (result["name"], result["metric"]):
                return result
        raise UnknownMetricError(unknown("metric", str(name), [r["metric"] for r in self.results]))

    def __contains__(self, name: object) -> bool:
        return any(name in (result["name"], result["metric"]) for result in self.results)

    def __iter__(self) -> Iterator[Result]:
        return iter(self.results)

    def __len__(self) -> int:
        return len(self.results)

    def __repr__(self) -> str:
        values = [f"{result['name']} {result['value']:.4g}" for result in self.results]
        return f"<Report {self.model}: {', '.join(values) or 'nothing was measured'}>".replace(" :", ":")

    def __str__(self) -> str:
        if not self.results:
            return "\n".join(["nothing was measured", *self.notes])
        title = [self.model] if self.model else []
        return "\n".join([*title, *table.plain(self.results), *self.about(), *self.notes])

    def about(self) -> list[str]:
        """How the results were measured."""
        return list(dict.fromkeys(line for result in self.results for line in table.measured(result)))

    def to_dict(self) -> dict[str, Any]:
        """The report as JSON can hold it."""
        return copy.deepcopy({"model": self.model, "results": self.results, "notes": self.notes})

    @classmethod
    def from_dict(cls, kept: Mapping[str, Any]) -> Report:
        """The opposite of `to_dict`. Raises `UsageError` for anything else."""
        if wrong := flaw(kept):
            raise UsageError(f"this is not a valid report: {wrong}; Report.to_dict() writes one")
        kept = copy.deepcopy(dict(kept))
        return cls(kept["results"], kept.get("notes", []), kept.get("model", ""))

    def to_markdown(self) -> str:
        """A Markdown table, how it was measured, and the warnings."""
        if not self.results:
            return "\n\n".join(["Nothing was measured.", *map(escaped, self.notes)])
        title = [f"**{escaped(self.model)}**"] if self.model else []
        rows = "\n".join(table.markdown(self.results))
        notes = [f"> {escaped(note)}" for note in self.notes]
        return "\n\n".join([*title, rows, *map(escaped, self.about()), *notes])

    def _repr_markdown_(self) -> str:
        return self.to_markdown()

    def plot(self, path: str | Path | None = None) -> Picture:
        """A matplotlib figure with a panel for each metric: the model beside real images.

        `path` also saves it, as PNG, PDF or SVG by its suffix. Raises `UsageError` for an empty report and
        for a path that can't be written.
        """
        from gantl_zoo.metrics.picture import draw

        return draw(self.results, self.model, path)


class UnknownMetricError(UnknownNameError, KeyError):
    """A report without this metric."""

    __str__ = Exception.__str__  # a `KeyError` would put the message in quotes
