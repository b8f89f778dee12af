"""`doctor`: say what is going on in a run."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from gantl_zoo.cli import options as o

if TYPE_CHECKING:
    from gantl_zoo.runs.diagnosis.diagnosis import Diagnosis

EPILOG = """Examples:

  gantl-zoo doctor runs/00003-mine

  gantl-zoo doctor runs/00003-mine --json diagnosis.json"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(doctor)


def doctor(
    run: Annotated[Path, typer.Argument(help="A run folder.", callback=o.expand)],
    as_json: o.JsonFile = None,
) -> None:
    """Say what is going on in a run: problems, the evidence, and the option to change."""
    from gantl_zoo.cli.printing import print_page, write_json
    from gantl_zoo.runs.diagnosis.diagnosis import diagnose

    diagnosis = diagnose(run)
    if as_json is not None:
        write_json(diagnosis.to_dict(), as_json)
    if as_json != "-":
        print_page(page(diagnosis))


def page(diagnosis: Diagnosis) -> str:
    """The diagnosis as a page of at most the terminal's width."""
    from gantl_zoo.cli.printing import bold, facts, wrapped

    lines = [bold(f"{diagnosis.run}: {diagnosis.done:,} of {diagnosis.steps:,} steps")]
    for finding in diagnosis.findings:
        kind = "note" if finding.note else "problem"
        lines += ["", bold(f"{kind}: {finding.title}")]
        lines += [f"  {line}" for line in facts([("evidence", finding.evidence), ("advice", finding.advice)])]
    lines += ["", diagnosis.outcome] if diagnosis.outcome else []
    lines += ["", *wrapped(f"not present: {', '.join(diagnosis.absent)}")] if diagnosis.absent else []
    lines += [line for name, lack in diagnosis.unknown for line in wrapped(f"not known: {name} ({lack})")]
    return "\n".join(lines)
