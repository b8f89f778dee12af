"""`data`: what a folder of images holds, before anybody trains on it."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.errors import DataError, UsageError

EPILOG = """Examples:

  gantl-zoo data ./photos

  gantl-zoo data photos.zip --sheet sheet.png

  gantl-zoo data ./photos --fit pad --image-size 64 --json -"""


def expanded(places: list[str]) -> list[str]:
    return [o.expand(place) for place in places]


def add(app: typer.Typer) -> None:
    app.command("data", epilog=EPILOG)(check)


def check(
    sources: Annotated[
        list[str], typer.Argument(metavar="SOURCE…", help="Folders, zips or data names.", callback=expanded)
    ],
    image_size: o.ImageSize = None,
    fit: o.Fit = "crop",
    data_root: o.DataRoot = None,
    sheet: Annotated[
        Path | None,
        typer.Option(
            help="Write a contact sheet to this picture.", rich_help_panel=o.OUTPUT, callback=o.expand
        ),
    ] = None,
    as_json: Annotated[
        str | None,
        typer.Option(
            "--json",
            help="Write the findings to this file; - prints them.",
            rich_help_panel=o.OUTPUT,
            callback=o.expand,
        ),
    ] = None,
) -> None:
    """Check images before training: counts, sizes, copies, damage, what cropping loses."""
    if sheet is not None and len(sources) > 1:
        raise UsageError(f"--sheet draws one source, not {len(sources)}: check each by itself")
    from gantl_zoo.data import check_data
    from gantl_zoo.viz.grid import save_picture

    reports = []
    for source in sources:
        with progress(source) as count:
            reports.append(check_data(source, image_size=image_size, fit=fit, root=data_root, progress=count))
    if as_json != "-":
        print("\n\n".join(map(str, reports)))
    if as_json is not None:
        write(json.dumps([report.to_dict() for report in reports], indent=2, ensure_ascii=False), as_json)
    if sheet is not None:
        save_picture(reports[0].sheet(), sheet)


def write(text: str, place: str) -> None:
    """The text into a file, or on standard output for "-"."""
    if place == "-":
        print(text)
        return
    try:
        Path(place).write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"can't write {place}: {error.strerror}") from error


@contextmanager
def progress(source: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error while a person looks on."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(f"reading {source}")
        yield lambda done, total: bar.update(task, completed=done, total=total)
