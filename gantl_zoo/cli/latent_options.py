"""Options that the verbs of `latent` share, and how they print."""

from __future__ import annotations

from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o

Name = Annotated[
    str,
    typer.Argument(
        help="A GAN: a release, a model folder or a run.",
        callback=o.expand,
        autocompletion=o.names("models"),
    ),
]
Seeds = Annotated[str, typer.Option(help="Seeds and ranges: 0-15,40.")]
Label = Annotated[int | None, typer.Option("--class", metavar="N", help="Class number of all images.")]
Truncation = Annotated[float, typer.Option("--truncation", "--trunc", help="Below 1: less variety.")]
Device = Annotated[str, typer.Option(help="cpu, cuda, cuda:1, …, or auto: a GPU if there is one.")]


def out_option(what: str, metavar: str = "FILE") -> Any:
    """The option of what a verb writes."""
    return typer.Option(metavar=metavar, help=what, callback=o.expand)


def load(name: str, device: str = "cpu", *, discriminator: bool = False) -> Any:
    """The GAN of that name on a device."""
    from gantl_zoo.model.place import usable_device
    from gantl_zoo.zoo import gan_named

    return gan_named(name, discriminator=discriminator).to(usable_device(device))


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of numbers and names as aligned text, with a line of titles. A row may lack some of them."""
    titles = list(dict.fromkeys(key for row in rows for key in row))
    cells = [titles, *([shown(row.get(key, "")) for key in titles] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(titles))]
    return ["  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)) for line in cells]


def shown(value: Any) -> str:
    """A number with three digits, or a name."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
