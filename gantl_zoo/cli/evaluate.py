"""`evaluate`: how good a GAN is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.errors import DataError, UsageError

EPILOG = """Examples:

  gantl-zoo evaluate dcgan-mnist --data mnist

  gantl-zoo evaluate dcgan-mnist --data mnist --metrics fd,pr --extractor pixels

  gantl-zoo evaluate runs/00003-mine --data ./photos --json scores.json"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(evaluate)


def evaluate(
    name: Annotated[
        str, typer.Argument(help="A released model, a model folder or a run folder.", callback=o.expand)
    ],
    data: o.Data = "",
    data_root: o.DataRoot = None,
    channels: o.Channels = None,
    shots: o.Shots = None,
    data_seed: o.DataSeed = 0,
    metrics: o.Metrics = "auto",
    samples: o.Samples = 10_000,
    extractor: o.ExtractorName = "auto",
    quiet: o.Quiet = False,
    as_json: Annotated[
        Path | None, typer.Option("--json", help="Write the results to this file.", callback=o.expand)
    ] = None,
) -> None:
    """Measure a GAN against held-out images. A score carries its extractor's name."""
    if not data:
        raise UsageError("--data is missing: the images to compare with")
    from gantl_zoo.runs import evaluate as runs
    from gantl_zoo.training.launcher import is_main

    report = runs.evaluate(
        name,
        data=data,
        metrics=metrics,
        samples=samples,
        extractor=extractor,
        channels=channels,
        data_root=data_root,
        shots=shots,
        data_seed=data_seed,
        quiet=quiet,
    )
    if not is_main():  # the others have helped
        return
    print(report)  # before anything can go wrong with the file
    if as_json is not None:
        try:
            as_json.write_text(json.dumps(report.results, indent=2) + "\n", encoding="utf-8")
        except OSError as error:
            raise DataError(f"can't write {as_json}: {error.strerror}") from error
