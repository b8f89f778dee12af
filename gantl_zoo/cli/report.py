"""`report`: one page about a run or a model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o

EPILOG = """Examples:

  gantl-zoo report runs/00003-mine

  gantl-zoo report dcgan-faces --to faces.html

  gantl-zoo report runs/00003-mine runs/00004-other --to both.html"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(report)


def report(
    sources: Annotated[
        list[str], typer.Argument(metavar="NAME…", help="Run folders, model folders or names of models.")
    ],
    to: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="The page: .html, or .md for the words alone. [default: report.html in the run's folder]",
            callback=o.expand,
        ),
    ] = None,
) -> None:
    """Write one page about a run or a model: is it good, and why not? Prints its path."""
    from gantl_zoo.runs.report.write import write_report

    print(write_report(*sources, to=to))
