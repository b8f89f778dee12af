"""`plugin new`: write a new plug-in package."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli.command import Verbs
from gantl_zoo.cli.options import expand

EPILOG = """Examples:

  gantl-zoo plugin new gantl-zoo-mine --generator --strategy --license mit

  gantl-zoo plugin new my-metric --metric --license apache-2.0 --author "Ada Byron" --to ./code"""

app = typer.Typer(
    cls=Verbs,
    help="Write a plug-in of your own.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode=None,
)


@app.callback()
def plugin() -> None:
    """Write a plug-in of your own."""


License = Annotated[str | None, typer.Option(metavar="ID", help="Licence of the package: mit, apache-2.0, …")]
Folder = Annotated[
    Path | None, typer.Option(metavar="FOLDER", help="The new folder. [./NAME]", callback=expand)
]


@app.command(epilog=EPILOG)
def new(
    name: Annotated[str, typer.Argument(metavar="NAME", help="The name of the package.")],
    generator: Annotated[bool, typer.Option("--generator", help="With a generator.")] = False,
    discriminator: Annotated[bool, typer.Option("--discriminator", help="With a discriminator.")] = False,
    backbone: Annotated[bool, typer.Option("--backbone", help="With a backbone for classifiers.")] = False,
    strategy: Annotated[bool, typer.Option("--strategy", help="With a transfer strategy.")] = False,
    loss: Annotated[bool, typer.Option("--loss", help="With a loss.")] = False,
    metric: Annotated[bool, typer.Option("--metric", help="With a metric.")] = False,
    dataset: Annotated[bool, typer.Option("--dataset", help="With a data set.")] = False,
    model: Annotated[
        bool, typer.Option("--model", help="With a released model: a small one, to be replaced by yours.")
    ] = False,
    license: License = None,
    author: Annotated[str, typer.Option(metavar="NAME", help="Who has the copyright.")] = "",
    to: Folder = None,
) -> None:
    """Write a package that brings names of its own. Its tests pass at once, and nothing is written over.

    The last line on standard output is its folder.
    """
    from gantl_zoo.scaffold.package import check_package, new_package

    chosen = {
        "generator": generator,
        "discriminator": discriminator,
        "backbone": backbone,
        "strategy": strategy,
        "loss": loss,
        "metric": metric,
        "dataset": dataset,
        "model": model,
    }
    check_package(name)
    kinds = [kind for kind, asked in chosen.items() if asked]
    folder = new_package(
        name, kinds, to, licence=asked_licence() if license is None else license, author=author
    )
    print(f"next: pip install -e {folder}, gantl-zoo plugins {name} --check", file=sys.stderr)
    print(folder)


def asked_licence() -> str:
    """The licence that a person types at a prompt. Raises `UsageError` without a terminal."""
    from gantl_zoo.errors import UsageError
    from gantl_zoo.scaffold.package import LICENCES

    listed = ", ".join(LICENCES)
    if not sys.stdin.isatty():
        raise UsageError(f"--license is missing; there are: {listed}")
    return str(typer.prompt(f"Licence of the package ({listed})", err=True))
