"""`resume`: continue a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.shared import print_run

EPILOG = """Examples:

  gantl-zoo resume runs/00003-dcgan-mnist

  gantl-zoo resume runs/00004-mine --data /new/place/photos"""

MovedData = Annotated[
    str,
    typer.Option("--data", metavar="DATA", help="The run's images, if they were moved.", callback=o.expand),
]


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(resume)


def resume(
    run: Annotated[Path, typer.Argument(help="A run folder.", callback=o.expand)],
    data: MovedData = "",
    quiet: o.Quiet = False,
    report: o.Report = True,
    as_json: o.JsonFile = None,
) -> None:
    """Continue a run from its newest checkpoint. The last line on standard output is its folder."""
    from gantl_zoo.runs import resume as runs

    print_run(lambda: runs.resume(run, data=data or None, quiet=quiet, report=report), as_json)
