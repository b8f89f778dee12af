"""`sample`: generate images."""

from __future__ import annotations

import sys
from collections.abc import Iterator
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

  gantl-zoo sample dcgan-mnist --adapter me/my-adapter:0.7 --out grid.png

  gantl-zoo sample exported/dcgan-mnist.onnx --seeds 0-15 --out grid.png"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(sample)


Name = Annotated[
    str,
    typer.Argument(
        help="A released model, a model folder, a run folder, or an exported .onnx file.",
        callback=options.expand,
    ),
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
    settings: dict[str, Any] = {"truncation": truncation, "batch_size": batch_size}
    if name.lower().endswith(".onnx"):
        unusable = {"--adapter": adapter, "--direction": direction, "--latents": latents}
        source = exported(name, device, [option for option, value in unusable.items() if value])
    else:
        source = loaded(name, device, adapter)
        settings["strength"] = strength
        settings["direction"] = None if direction is None else direction_in(direction, source)
    if latents is not None:
        write(images_of(source, latents, label, settings), out, columns, separate)
    elif out is None and len(numbers) == len(set(numbers)):  # no name of a file depends on other images
        write_parts(source.stream(seeds=numbers, labels=label, **settings), len(numbers), separate)
    else:
        write(source.sample(seeds=numbers, labels=label, **settings), out, columns, separate)


def exported(file: str, device: str, unusable: list[str]) -> Any:
    """The GAN of an exported file. Raises `UsageError` for options that need the model itself."""
    from gantl_zoo.export.runtime import OnnxGAN, runtime

    if unusable:
        raise UsageError(f"{', '.join(unusable)} can't be used with an exported file: name the model itself")
    generator = runtime(file, device=device)
    if not isinstance(generator, OnnxGAN):
        raise UsageError(f"{file} is a classifier, not a GAN")
    return generator


def loaded(name: str, device: str, adapters: list[str] | None) -> Any:
    """The GAN of that name, with its adapters. Raises `UsageError` for a classifier."""
    from gantl_zoo.model.gan import GAN
    from gantl_zoo.zoo import load_model

    gan = load_model(name, discriminator=False, device=device)
    if not isinstance(gan, GAN):
        raise UsageError(f"{name} is a classifier, not a GAN; gantl-zoo list --kind models shows all models")
    for word in adapters or ():
        gan = gan.with_adapter(*weighted(word))
    return gan


def write(images: Any, out: Path | None, columns: int | None, separate: Path | None) -> None:
    """Write one picture of all images, or one of each, and print the paths."""
    if out is not None:
        print(images.save(out, columns))
    if separate is not None:
        images.save_each(separate, scale=None)
        print(separate)


def write_parts(parts: Iterator[Any], count: int, folder: Path | None) -> None:
    """Write one picture of each image, in bounded memory, with a bar if there are many."""
    from gantl_zoo.model.seeds import STREAMED
    from gantl_zoo.runs.progress import Progress, progress_of

    done = 0
    with progress_of(count, "sample", images=1) if count > STREAMED else Progress() as shown:
        for images in parts:
            images.save_each(folder, scale=None)
            done += len(images)
            shown.update(done)
    print(folder)


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

    latents = Latents.load(path)
    note_other_model(path, latents.about, gan)
    return Images(latents.images(gan, label, **settings))


def weighted(word: str) -> tuple[str, float]:
    """`ADAPTER[:WEIGHT]` as a name and a weight, which is 1 if it is left out."""
    name, _, last = word.rpartition(":")
    try:
        return (options.expand(name), float(last)) if name else (options.expand(word), 1.0)
    except ValueError:  # the colon is part of the name
        return options.expand(word), 1.0
