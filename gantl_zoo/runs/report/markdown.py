"""The report as Markdown: the same words and tables, without pictures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from gantl_zoo.runs.report.contents import Contents, comparison_of
from gantl_zoo.runs.report.page import number
from gantl_zoo.runs.report.words import FLOOR, meanings
from gantl_zoo.storage.card.facts import cell


def markdown(all_contents: Sequence[Contents]) -> str:
    """The report on a few runs or models."""
    return "\n".join(line for one in all_contents for line in [*lines(one), ""]).rstrip() + "\n"


def lines(one: Contents) -> Iterator[str]:
    """The lines of one run or model."""
    yield from (f"# {cell(one.title)}", "", " → ".join(map(cell, one.lineage)), "")
    if one.diagnosis:
        yield from (f"**{one.diagnosis.headline}**", "")
        for finding in one.diagnosis.findings:
            yield f"- {finding.title}: {cell(finding.evidence)}. {cell(finding.advice)}"
        yield ""
    if one.metrics:
        yield from ("| metric | value | real images | measured on |", "|---|---|---|---|")
        for metric in one.metrics:
            values = (
                metric["name"],
                number(metric["value"]),
                number(metric.get("floor")),
                metric.get("on", ""),
            )
            yield "| " + " | ".join(map(cell, values)) + " |"
        yield from ("", FLOOR, "")
        yield from (f"- {kind}: {text}" for kind, text in meanings(str(m["name"]) for m in one.metrics))
        yield ""
    if rows := comparison_of(one.folder) if one.is_run else []:
        yield from ("```text", *rows, "```", "")
    yield from ("| | |", "|---|---|", *(f"| {name} | {cell(value)} |" for name, value in one.facts), "")
    if one.command:
        yield from ("```sh", one.command, "```", "")
    yield from ("```python", *one.usage, "```")
