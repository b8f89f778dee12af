"""`sample`: images from a name."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gantl_zoo.cli import options
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo sample dcgan-mnist --seeds 0-15 --out grid.png

  gantl-zoo sample runs/00004-digits --class 3 --out threes.png

  gantl-zoo sample runs/00003-mine --seeds 1,5-9 --separate images"""


def add(app: typer.Typer) -> None:
    app.command(epilog=EPILOG)(sample)


def sample(
    name: Annotated[
        str, typer.Argument(help="A released model, a model folder or a run folder.", callback=options.expand)
    ],
    seeds: Annotated[str, typer.Option(help="One image a seed: 0-15,40.", rich_help_panel="What")] = "0-15",
    trunc: Annotated[float, typer.Option(help="Below 1: nearer to the mean.", rich_help_panel="What")] = 1.0,
    label: Annotated[
        int | None, typer.Option("--class", help="Class number.", rich_help_panel="What")
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="One picture of all.", rich_help_panel="Output", callback=options.expand),
    ] = None,
    separate: Annotated[
        Path | None,
        typer.Option(help="A folder: one picture a seed.", rich_help_panel="Output", callback=options.expand),
    ] = None,
) -> None:
    """Draw images from a GAN. A seed gives the same image whatever else is drawn."""
    numbers = options.seeds(seeds)
    if out is None and separate is None:
        raise UsageError("say where the images go: --out grid.png, or --separate FOLDER for one file a seed")
    from gantl_zoo.model.gan import GAN
    from gantl_zoo.viz.grid import grid, save_picture
    from gantl_zoo.zoo import load_model

    gan = load_model(name, discriminator=False)
    if not isinstance(gan, GAN):
        raise UsageError(f"{name} is a backbone, which makes no images; gantl-zoo list --kind models")
    labels = None if label is None else [label] * len(numbers)
    images = gan.generate(seeds=numbers, truncation=trunc, labels=labels)
    if out is not None:
        print(save_picture(grid(images), out))
    if separate is not None:
        for seed, image in zip(numbers, images, strict=True):
            save_picture(grid(image[None]), separate / f"seed{seed:04d}.png")
        print(separate)
