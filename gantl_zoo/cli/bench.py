"""`bench stacked-mnist`, `bench transfer`, `bench classifiers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options as o

EPILOG = """Examples:

  gantl-zoo bench stacked-mnist --recipe relativistic --trials 3

  gantl-zoo bench transfer --pair digits --strategy freeze-d --shots 100

  gantl-zoo bench transfer --source dcgan-mnist --data ./photos --shots 0"""

app = typer.Typer(
    help="Benchmarks: a published protocol, and strategies side by side.",
    epilog=EPILOG,
    no_args_is_help=True,
    rich_markup_mode="rich",
)


@app.callback()
def group() -> None:
    """Benchmarks: a published protocol, and strategies side by side."""


@app.command("stacked-mnist", epilog=EPILOG)
def stacked(
    recipe: Annotated[
        list[str] | None, typer.Option(help="dcgan (as published) or relativistic; both if left out.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Seeds a recipe.")] = 1,
    steps: Annotated[int, typer.Option(help="Steps of 64 images; the protocol's are 100,000.")] = 100_000,
    data_root: o.DataRoot = None,
    out: Annotated[
        Path, typer.Option(help="Where runs and report are kept; what is there goes on.", callback=o.expand)
    ] = Path("runs/stacked-mnist"),
    quiet: o.Quiet = False,
) -> None:
    """How many of 1,000 modes are covered. Goes on where it stopped; the report is the last line."""
    from gantl_zoo.bench import stacked_mnist as bench

    path = bench.stacked_mnist(
        recipe or (), trials=trials, steps=steps, out=out, data_root=data_root, quiet=quiet, say=print
    )
    print(path.read_text(encoding="utf-8"))
    print(path)


@app.command("transfer", epilog=EPILOG)
def transfer(
    strategy: Annotated[
        list[str] | None, typer.Option(help="Strategies beside scratch: full, or 'freeze-d first=2'.")
    ] = None,
    shots: Annotated[
        list[int] | None, typer.Option(help="Numbers of images; 0: all, the default for your own.")
    ] = None,
    pair: Annotated[
        list[str] | None, typer.Option(help="mnist-fashion, mnist-glyphs or digits; all if left out.")
    ] = None,
    source: Annotated[str, typer.Option(help="Your own pair: a model …", callback=o.expand)] = "",
    data: Annotated[str, typer.Option(help="… and data.", callback=o.expand)] = "",
    trials: Annotated[int, typer.Option(help="Seeds a cell.")] = 3,
    steps: Annotated[int, typer.Option(help="Training steps a run.")] = 4500,
    batch: Annotated[int, typer.Option(help="Images a step.")] = 32,
    samples: o.Samples = 2_000,
    aug: o.Augmentation = "diffaugment",
    part: Annotated[str, typer.Option(help="I/N: every N-th cell only, so that N processes share.")] = "1/1",
    data_root: o.DataRoot = None,
    out: Annotated[
        Path, typer.Option(help="Where results are kept; nothing is done twice.", callback=o.expand)
    ] = Path("runs/transfer"),
    quiet: o.Quiet = False,
) -> None:
    """Which strategy wins, for how many images. Goes on where it stopped; the report is the last line."""
    from gantl_zoo.bench import transfer as bench

    path = bench.transfer_table(
        bench.choose_pairs(pair or (), source, data, data_root),
        strategy or ("full", "freeze-d"),
        shots or ((0,) if source else bench.SHOTS),
        trials=trials,
        budget=bench.Budget(steps=steps, batch=batch, samples=samples, aug=aug),
        part=bench.choose_part(part),
        out=out,
        data_root=data_root,
        quiet=quiet,
        say=print,
    )
    print(path.read_text(encoding="utf-8"))
    print(path)


@app.command("classifiers", epilog=EPILOG)
def classifiers(
    shots: Annotated[
        list[int] | None, typer.Option(help="100, 1000 or 0 for all; all three if left out.")
    ] = None,
    trials: Annotated[int, typer.Option(help="Seeds a cell.")] = 3,
    data_root: o.DataRoot = None,
    out: Annotated[
        Path, typer.Option(help="Where results are kept; nothing is done twice.", callback=o.expand)
    ] = Path("runs/classifiers"),
    quiet: o.Quiet = False,
) -> None:
    """Classifiers of Fashion-MNIST from few labels. Goes on where it stopped; the report is the last line."""
    from gantl_zoo.bench import classifiers as bench

    path = bench.classifier_table(
        shots or bench.SHOTS, trials=trials, out=out, data_root=data_root, quiet=quiet, say=print
    )
    print(path.read_text(encoding="utf-8"))
    print(path)
