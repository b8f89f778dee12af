"""`sample`: generate images."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options
from gantl_zoo.errors import UsageError

WHAT, OUTPUT, SPEED = "What", "Output", "Speed"
EPILOG = """Examples:

  gantl-zoo sample dcgan-mnist --seeds 0-15 --out grid.png

  gantl-zoo sample runs/00004-digits --class 3 --out threes.png

  gantl-zoo sample runs/00003-mine --seeds 1,5-9 --separate images

  gantl-zoo sample dcgan-mnist --adapter me/my-adapter:0.7 --out grid.png"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(sample)


Name = Annotated[
    str, typer.Argument(help="A released model, a model folder or a run folder.", callback=options.expand)
]
Seeds = Annotated[str, typer.Option(help="One image per seed: 0-15,40.", rich_help_panel=WHAT)]
Truncation = Annotated[
    float, typer.Option("--truncation", "--trunc", help="Below 1: less variety.", rich_help_panel=WHAT)
]
Label = Annotated[int | None, typer.Option("--class", help="Class number.", rich_help_panel=WHAT)]
Adapters = Annotated[
    list[str] | None,
    typer.Option(
        "--adapter",
        metavar="ADAPTER[:WEIGHT]",
        help="Add an adapter, with weight 1 by default. Repeat to blend.",
        rich_help_panel=WHAT,
    ),
]
DirectionOption = Annotated[
    str | None,
    typer.Option(
        "--direction",
        metavar="FILE[:N]",
        help="Move along direction N, by default 0, of a file of gantl-zoo latent directions.",
        rich_help_panel=WHAT,
    ),
]
Strength = Annotated[
    float,
    typer.Option(metavar="X", help="How far along it, in standard deviations.", rich_help_panel=WHAT),
]
LatentsFile = Annotated[
    Path | None,
    typer.Option(
        "--latents",
        metavar="FILE",
        help="Latents in the place of seeds, such as those of gantl-zoo latent project.",
        rich_help_panel=WHAT,
        callback=options.expand,
    ),
]
Grid = Annotated[
    Path | None, typer.Option(help="One picture of all.", rich_help_panel=OUTPUT, callback=options.expand)
]
Columns = Annotated[int | None, typer.Option(help="Images in a row of that picture.", rich_help_panel=OUTPUT)]
Folder = Annotated[
    Path | None,
    typer.Option(help="A folder: one picture per seed.", rich_help_panel=OUTPUT, callback=options.expand),
]
Device = Annotated[
    str, typer.Option(help="cpu, cuda, cuda:1, …, or auto: a GPU if there is one.", rich_help_panel=SPEED)
]
BatchSize = Annotated[
    int | None,
    typer.Option("--batch-size", help="Images at once; the last bits may differ.", rich_help_panel=SPEED),
]


def sample(
    name: Name,
    seeds: Seeds = "0-15",
    truncation: Truncation = 1.0,
    label: Label = None,
    adapter: Adapters = None,
    direction: DirectionOption = None,
    strength: Strength = 1.0,
    latents: LatentsFile = None,
    out: Grid = None,
    columns: Columns = None,
    separate: Folder = None,
    device: Device = "cpu",
    batch_size: BatchSize = None,
) -> None:
    """Generate images with a GAN. Each seed always gives the same image."""
    numbers = options.seeds(seeds)
    if out is None and separate is None:
        raise UsageError(
            "name a place for the images: --out grid.png, or --separate FOLDER for one file per seed"
        )
    if columns is not None and out is None:
        raise UsageError("--columns is for the picture of all images: give --out, too")
    from gantl_zoo.model.gan import GAN
    from gantl_zoo.zoo import load_model

    gan = load_model(name, discriminator=False, device=device)
    if not isinstance(gan, GAN):
        raise UsageError(f"{name} is a classifier, not a GAN; gantl-zoo list --kind models shows all models")
    for word in adapter or ():
        gan = gan.with_adapter(*weighted(word))
    settings: dict[str, Any] = {"truncation": truncation, "strength": strength, "batch_size": batch_size}
    settings["direction"] = None if direction is None else direction_in(direction, gan)
    if latents is None:
        images = gan.sample(seeds=numbers, labels=label, **settings)
    else:
        images = images_of(gan, latents, label, settings)
    if out is not None:
        print(images.save(out, columns))
    if separate is not None:
        images.save_each(separate, scale=None)
        print(separate)


def direction_in(word: str, gan: Any) -> Any:
    """The direction of `FILE[:N]`, for a GAN. Raises `UsageError` and `WeightsError`."""
    from gantl_zoo.latent.directions import Directions

    name, _, last = word.rpartition(":")
    file, number = (name, int(last)) if name and last.isdecimal() else (word, 0)
    directions = Directions.load(options.expand(file))
    if number >= len(directions):
        raise UsageError(f"{file} has the directions 0 to {len(directions) - 1}, not {number}")
    note_other_model(file, directions.about, gan)
    return directions[number]


def note_other_model(file: str | Path, about: dict[str, Any], gan: Any) -> None:
    """Write a note if a file is of another model than `gan` and the one that it was fine-tuned from."""
    from gantl_zoo.networks.base import digest

    model, base = about.get("model"), str(gan.lineage.get("base_model") or "")
    same = about.get("digest") == digest(gan.generator.state_dict())
    if not model or same or str(model) in (base, Path(base).name):
        return
    print(
        f"note: {file} is of the model {model}: images of {gan.name} may change in other ways",
        file=sys.stderr,
    )


def images_of(gan: Any, path: Path, label: int | None, settings: dict[str, Any]) -> Any:
    """The images of a file of latents. Raises `UsageError` and `WeightsError`."""
    from gantl_zoo.latent.latents import Latents
    from gantl_zoo.viz.images import Images

    found = Latents.load(path)
    note_other_model(path, found.about, gan)
    return Images(found.images(gan, label, **settings))


def weighted(word: str) -> tuple[str, float]:
    """`ADAPTER[:WEIGHT]` as a name and a weight, which is 1 if it is left out."""
    name, _, last = word.rpartition(":")
    try:
        return (options.expand(name), float(last)) if name else (options.expand(word), 1.0)
    except ValueError:  # the colon is part of the name
        return options.expand(word), 1.0
