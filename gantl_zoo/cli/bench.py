"""`bench stacked-mnist`, `bench modes`, `bench transfer`, `bench classifiers`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.command import Verbs
from gantl_zoo.cli.shared import DATA, with_options

EPILOG = """Examples:

  gantl-zoo bench stacked-mnist --recipe relativistic --trials 3

  gantl-zoo bench modes my-gan --data cats.zip --table cats.tsv --factor fur

  gantl-zoo bench transfer --pair digits --strategy freeze-d --shots 100

  gantl-zoo bench transfer --source dcgan-mnist --data ./photos --shots 0

  gantl-zoo bench transfer --source dcgan-faces --data cats.zip --pool 100"""

ROOT = {"data_root": DATA["data_root"]}
QUIET = {"quiet": (o.Quiet, False)}
RESULTS = "Folder of the results. A cell that is finished is not computed again."

Samples = Annotated[int, typer.Option(metavar="N", help="Number of samples that are measured.")]
Trials = Annotated[int, typer.Option(metavar="N", help="Number of seeds per row of the table.")]


def out_option(text: str = RESULTS) -> Any:
    """The option of the folder with the results."""
    return typer.Option(metavar="FOLDER", help=text, callback=o.expand)


def expand_all(places: list[str]) -> list[str]:
    """Paths, or names that may be paths, with the home folder for `~`."""
    return [o.expand(place) for place in places]


app = typer.Typer(
    cls=Verbs,
    help="Run benchmarks: a published protocol, and strategies side by side.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Run benchmarks: a published protocol, and strategies side by side."""


@app.command("stacked-mnist", epilog=EPILOG)
@with_options(ROOT, QUIET)
def stacked(
    recipe: Annotated[
        list[str] | None,
        typer.Option(
            "--recipe",
            "--recipes",
            metavar="NAME",
            help="dcgan (as published) or relativistic; by default both.",
        ),
    ] = None,
    trials: Annotated[int, typer.Option(metavar="N", help="Number of seeds per recipe.")] = 1,
    steps: Annotated[
        int, typer.Option(metavar="N", help="Training steps of 64 images each; 100,000 is the protocol.")
    ] = 100_000,
    out: Annotated[
        Path, out_option("Folder of runs and report. A run that was interrupted is continued.")
    ] = Path("runs/stacked-mnist"),
    **settings: Any,
) -> None:
    """Count the modes of Stacked MNIST that a GAN covers, of 1,000. The last line is the report's path."""
    from gantl_zoo.bench import stacked_mnist as bench

    path = bench.stacked_mnist(recipe or (), trials=trials, steps=steps, out=out, say=print, **settings)
    print(path.read_text(encoding="utf-8"))
    print(path)


Gans = Annotated[list[str], typer.Argument(metavar="GAN...", help="The GANs.", callback=expand_all)]
Images = Annotated[
    str, typer.Option(metavar="DATA", help="Folder or zip of their images.", callback=o.expand)
]
Table = Annotated[
    Path,
    typer.Option(
        metavar="FILE",
        help="Table of the factors, separated by tabs: a line 'file', factor, …, then a line per image.",
        callback=o.expand,
    ),
]
Factors = Annotated[
    list[str],
    typer.Option(
        "--factor", "--factors", metavar="NAME", help="A factor whose values make modes; may be repeated."
    ),
]
Classifier = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Pretrained classifier to fine-tune for each factor; by default a CNN is trained.",
        callback=o.expand,
    ),
]
ImageSize = Annotated[
    int | None, typer.Option(metavar="N", help="Size of the images, if they have different ones.")
]


@app.command("modes", epilog=EPILOG)
@with_options(QUIET)
def modes(
    gans: Gans,
    data: Images,
    table: Table,
    factor: Factors,
    source: Classifier = "",
    image_size: ImageSize = None,
    samples: Samples = 10_000,
    out: Annotated[
        Path, out_option("Folder of the report and of the classifiers, which are trained once.")
    ] = Path("runs/modes"),
    **settings: Any,
) -> None:
    """Count the combinations of factors that GANs cover. The last line is the report's path."""
    from gantl_zoo.bench import modes as bench

    counter = bench.mode_counter(
        data, table, factor, out=out, image_size=image_size, source=source, **settings
    )
    path = bench.mode_table(gans, counter, samples=samples, out=out, say=print)
    print(path.read_text(encoding="utf-8"))
    print(path)


StrategyNames = Annotated[
    list[str] | None,
    typer.Option(
        "--strategy",
        "--strategies",
        metavar="NAME",
        help="A strategy, such as full or 'freeze-d first=2 lr=4e-4'; may be repeated.",
    ),
]
Shots = Annotated[
    list[int] | None,
    typer.Option(metavar="N", help="Number of training images; 0 is all. May be repeated."),
]
Pairs = Annotated[
    list[str] | None,
    typer.Option(
        "--pair",
        "--pairs",
        metavar="NAME",
        help="mnist-fashion, mnist-glyphs or digits (by default these), or faces-portraits, in colour.",
    ),
]
Source = Annotated[
    str, typer.Option(metavar="GAN", help="The source of a pair of your own.", callback=o.expand)
]
Data = Annotated[
    str, typer.Option(metavar="DATA", help="The images of a pair of your own.", callback=o.expand)
]
Extractor = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="Network whose features are compared, for a pair of your own; not one that a strategy uses.",
        callback=o.expand,
    ),
]
Pool = Annotated[
    int,
    typer.Option(
        metavar="N",
        help="Draw the training images of your own pair from N images, and hold out all others.",
        show_default="the split of the data",
    ),
]
Size = Annotated[
    int,
    typer.Option(metavar="N", help="Size of the images of your own pair.", show_default="that of the source"),
]
Steps = Annotated[
    int | None,
    typer.Option(metavar="N", help="Training steps per run.", show_default="4500; above 32 px 600"),
]
Batch = Annotated[int | None, typer.Option(metavar="N", help="Images per step.", show_default="32")]
Evaluated = Annotated[
    int | None,
    typer.Option(
        metavar="N", help="Number of samples that are measured.", show_default="2000; above 32 px 500"
    ),
]
Augmentation = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Augmentation: none, diffaugment or ada.", show_default="diffaugment"),
]
Part = Annotated[
    str, typer.Option(metavar="I/N", help="Only every N-th run, so that N processes share the work.")
]


@app.command("transfer", epilog=EPILOG)
@with_options(ROOT, QUIET, often=("pair", "strategy", "shots", "source", "data", "trials", "steps", "out"))
def transfer(
    strategy: StrategyNames = None,
    shots: Shots = None,
    pair: Pairs = None,
    source: Source = "",
    data: Data = "",
    extractor: Extractor = "",
    pool: Pool = 0,
    image_size: Size = 0,
    trials: Trials = 3,
    steps: Steps = None,
    batch: Batch = None,
    samples: Evaluated = None,
    aug: Augmentation = None,
    part: Part = "1/1",
    out: Annotated[Path, out_option()] = Path("runs/transfer"),
    **settings: Any,
) -> None:
    """Compare strategies for several numbers of images. The last line is the report's path."""
    from gantl_zoo.bench import transfer as bench

    own = {"extractor": extractor, "pool": pool, "image_size": image_size}
    pairs = bench.choose_pairs(pair or (), source, data, settings["data_root"], **own)
    path = bench.transfer_table(
        pairs,
        strategy or ("full", "freeze-d"),
        shots or bench.shots_of(pairs),
        trials=trials,
        budget=bench.budget_for(pairs, steps=steps, batch=batch, samples=samples, aug=aug),
        part=bench.choose_part(part),
        out=out,
        say=print,
        **settings,
    )
    print(path.read_text(encoding="utf-8"))
    print(path)


@app.command("classifiers", epilog=EPILOG)
@with_options(ROOT, QUIET)
def classifiers(
    shots: Annotated[
        list[int] | None,
        typer.Option(metavar="N", help="Number of training images: 100, 1000 or 0 for all; by default each."),
    ] = None,
    trials: Trials = 3,
    out: Annotated[Path, out_option()] = Path("runs/classifiers"),
    **settings: Any,
) -> None:
    """Compare classifiers of Fashion-MNIST from few labels. The last line is the report's path."""
    from gantl_zoo.bench import classifiers as bench

    path = bench.classifier_table(shots or bench.SHOTS, trials=trials, out=out, say=print, **settings)
    print(path.read_text(encoding="utf-8"))
    print(path)
