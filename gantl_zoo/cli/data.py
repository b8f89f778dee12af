"""`data`: check a folder of images before training on it."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.options import field_options
from gantl_zoo.cli.shared import SPOKEN, with_options
from gantl_zoo.errors import UsageError
from gantl_zoo.runs.spec import DataSpec

EPILOG = """Examples:

  gantl-zoo data ./photos

  gantl-zoo data photos.zip --sheet sheet.png

  gantl-zoo data ./photos --fit pad --image-size 64 --json -"""


OPTIONS = field_options(DataSpec, o.DATA, only=("image_size", "fit", "root"), names=SPOKEN)


def expanded(places: list[str]) -> list[str]:
    return [o.expand(place) for place in places]


def add(app: typer.Typer) -> None:
    app.command("data", epilog=EPILOG)(check)


@with_options(OPTIONS, often=("image_size", "fit", "data_root", "sheet", "as_json"))
def check(
    sources: Annotated[
        list[str],
        typer.Argument(metavar="SOURCE…", help="Folders, zips or names of data sets.", callback=expanded),
    ],
    sheet: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Write a contact sheet to this picture.",
            rich_help_panel=o.OUTPUT,
            callback=o.expand,
        ),
    ] = None,
    as_json: o.JsonFile = None,
    **settings: Any,
) -> None:
    """Check images before training: counts, sizes, copies, damage, what cropping loses."""
    if sheet is not None and len(sources) > 1:
        raise UsageError(f"--sheet draws one source, not {len(sources)}: check each on its own")
    from gantl_zoo.cli.printing import write_json
    from gantl_zoo.data import check_data
    from gantl_zoo.viz.grid import save_picture

    settings["root"] = settings.pop("data_root")
    reports = []
    for source in sources:
        with progress(source) as count:
            reports.append(check_data(source, progress=count, **settings))
    if as_json != "-":
        print("\n\n".join(map(str, reports)))
    if as_json is not None:
        write_json([report.to_dict() for report in reports], as_json)
    if sheet is not None:
        save_picture(reports[0].sheet(), sheet)


@contextmanager
def progress(source: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error, if that is a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {source}")
        yield lambda done, total: bar.update(task, completed=done, total=total)
