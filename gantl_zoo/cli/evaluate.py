"""`evaluate`: measure the quality of a GAN."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.shared import DATA, MEASURING, with_options
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo evaluate dcgan-mnist --data mnist

  gantl-zoo evaluate dcgan-mnist --data mnist --metrics fd,pr --extractor pixels

  gantl-zoo evaluate runs/00003-mine --data ./photos --json scores.json"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(evaluate)


OFTEN = ("data", "metrics", "samples", "extractor", "shots", "device", "as_json")


@with_options(DATA, MEASURING, samples=10_000, often=OFTEN)
def evaluate(
    name: Annotated[
        str,
        typer.Argument(
            help="A GAN: a released model, a model folder, a run folder or a model on the Hub.",
            callback=o.expand,
            autocompletion=o.names("models"),
        ),
    ],
    device: Annotated[
        str,
        typer.Option(
            metavar="NAME",
            help="Where to generate and to extract features: auto, cpu, cuda, cuda:1 or mps.",
            rich_help_panel=o.OUTPUT,
        ),
    ] = "cpu",
    quiet: o.Quiet = False,
    as_json: o.JsonFile = None,
    **settings: Any,
) -> None:
    """Measure a GAN against held-out images. The name of a score contains its extractor."""
    if not settings["data"]:
        raise UsageError("--data is missing: name the images to compare with")
    from gantl_zoo.cli.printing import write_json
    from gantl_zoo.runs import evaluate as runs
    from gantl_zoo.training.launcher import is_main

    report = runs.evaluate(name, device=device, quiet=quiet, **settings)
    if not is_main():  # the others have helped
        return
    if as_json != "-":
        print(report)  # before anything can go wrong with the file
    elif not quiet:
        print(report, file=sys.stderr)
    if as_json is not None:
        write_json(report.results, as_json)
