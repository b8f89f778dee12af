"""`adapter`: save what a transfer changed, without the base."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.options import expand, names

EPILOG = """Examples:

  gantl-zoo adapter runs/00003-mine --to my-adapter

  gantl-zoo sample dcgan-mnist --adapter my-adapter:0.7 --out grid.png"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(adapter)


def adapter(
    name: Annotated[
        str, typer.Argument(help="A fine-tuned GAN: a run folder or a model folder.", callback=expand)
    ],
    to: Annotated[Path, typer.Option(metavar="FOLDER", help="The adapter's folder.", callback=expand)],
    base: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The base; by default the model that NAME was fine-tuned from.",
            callback=expand,
            autocompletion=names("models"),
        ),
    ] = None,
    rank: Annotated[
        int | None, typer.Option(metavar="N", help="Keep at most this rank of each change: smaller, inexact.")
    ] = None,
) -> None:
    """Save what a transfer changed in a GAN's generator: an adapter, which is added to its base later."""
    import sys

    from gantl_zoo.zoo import gan_named

    gan = gan_named(name, discriminator=False)
    difference = gan.adapter(base, rank=rank)
    folder = difference.save(to)
    stored = sum(tensor.nbytes for tensor in difference.tensors.values())
    whole = sum(tensor.nbytes for tensor in gan.generator.state_dict().values())
    print(
        f"adapter for {difference.base['model']}: {stored:,} bytes, {stored / whole:.1%} of the generator; "
        f"largest error {difference.error:.1g} of a tensor's norm",
        file=sys.stderr,
    )
    print(folder)
