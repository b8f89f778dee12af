"""`bench stacked-mnist`: benchmarks with a published protocol."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o

EPILOG = """Examples:

  gantl-zoo bench stacked-mnist --steps 10000

  gantl-zoo bench stacked-mnist --recipe relativistic --trials 3"""

app = typer.Typer(
    help="Benchmarks with a published protocol.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def group() -> None:
    """Benchmarks with a published protocol."""


@app.command("stacked-mnist", epilog=EPILOG)
def stacked(
    recipe: Annotated[
        list[str] | None, typer.Option(help="dcgan (as published) or relativistic; both if left out.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Seeds a recipe.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps of 64 images; the protocol's are 100,000.")] = 100_000,
    data_root: o.DataRoot = None,
    out: Annotated[Path, typer.Option(help="Where runs and report are kept; what is there goes on.")] = Path(
        "runs/stacked-mnist"
    ),
    quiet: o.Quiet = False,
) -> None:
    """How many of 1,000 modes are covered. Goes on where it stopped; the report is the last line."""
    from gantl_zoo.bench import stacked_mnist as bench

    path = bench.stacked_mnist(
        recipe or (), trials=trials, steps=steps, out=out, data_root=data_root, quiet=quiet, say=typer.echo
    )
    typer.echo(path.read_text())
    typer.echo(path)
