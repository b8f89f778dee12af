"""`export`: write a model for other runtimes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import expand, names

EPILOG = """Examples:

  gantl-zoo export dcgan-faces --to exported

  gantl-zoo sample exported/dcgan-faces.onnx --seeds 0-15 --out grid.png

  gantl-zoo export runs/00003-mine --to exported --quantize int8

  gantl-zoo export cnn-mnist --to exported --format torch-export"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(export)


def export(
    name: Annotated[
        str,
        typer.Argument(
            help="A released model, a model folder or a run folder.",
            callback=expand,
            autocompletion=names("models"),
        ),
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="The folder of the new files.", callback=expand)],
    format: Annotated[
        str, typer.Option(metavar="NAME", help="onnx, or torch-export (a .pt2 file).")
    ] = "onnx",
    quantize: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Store the weights as fp16 or int8; prints the distance."),
    ] = None,
    split: Annotated[
        bool, typer.Option("--split", help="Write the mapping network and the rest as files, too.")
    ] = False,
    image_size: Annotated[
        int | None, typer.Option(metavar="N", help="Images of a classifier that does not state their size.")
    ] = None,
) -> None:
    """Export a model to files that run without this library. Prints their paths."""
    from gantl_zoo.zoo import load_model

    model = load_model(name, discriminator=False)
    exported = model.export(to, format=format, quantize=quantize, split=split, image_size=image_size)
    print(exported, file=sys.stderr)
    for file in exported.files:
        print(file)
