"""`latent interpolate|directions|project|truncation|…`: look inside a GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.command import Verbs
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo latent interpolate dcgan-faces --seeds 0-3 --loop --out faces.webp"""
SUFFIXES = (".gif", ".webp", ".apng")  # of animations; a .png is a strip

app = typer.Typer(
    cls=Verbs,
    help="Look inside a GAN.",
    epilog=EPILOG,
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
)


@app.callback()
def group() -> None:
    """Look inside a GAN."""


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


@app.command(epilog=EPILOG)
def interpolate(
    name: Name,
    seeds: Seeds = "0-3",
    classes: Annotated[
        str | None, typer.Option("--classes", metavar="N,N,…", help="The class of each seed.")
    ] = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Images from one seed to the next.")] = 8,
    method: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="slerp, lerp or vp-lerp; by default slerp in z and lerp in w."),
    ] = None,
    space: Annotated[
        str | None, typer.Option(metavar="NAME", help="z, or w for a network that has it (its default).")
    ] = None,
    grid: Annotated[bool, typer.Option("--grid", help="A square between four seeds.")] = False,
    loop: Annotated[bool, typer.Option("--loop", help="Go on from the last seed to the first.")] = False,
    fps: Annotated[float, typer.Option(metavar="X", help="Frames per second of an animation.")] = 16.0,
    truncation: Truncation = 1.0,
    out: Annotated[Path, out_option("A .png, or an animation: .gif, .webp or .apng.")] = Path(
        "interpolation.png"
    ),
    device: Device = "cpu",
) -> None:
    """Draw the images between seeds: a strip, a grid or an animation."""
    numbers = o.seeds(seeds)
    animated = out.suffix.lower() in SUFFIXES
    if grid and (loop or animated):
        raise UsageError("--grid is one still picture: leave --loop out, and write a .png")
    from gantl_zoo.latent.interpolation import interpolate, interpolation_grid
    from gantl_zoo.viz.animation import save_animation

    settings: dict[str, Any] = {"method": method, "space": space, "truncation": truncation}
    settings |= {"labels": labels_of(classes, len(numbers)), "steps": steps}
    gan = load(name, device)
    if grid:
        print(interpolation_grid(gan, numbers, **settings).save(out, steps + 1))
        return
    images = interpolate(gan, numbers, **settings, loop=loop)
    if animated:
        print(save_animation(images.tensor, out, fps=fps, loop=loop))
    else:
        print(images.save(out, len(images) if len(images) <= 2 * steps + 1 else steps))


def labels_of(text: str | None, count: int) -> list[int] | None:
    """`3` for all, or `1,2,3` for each of `count` seeds. Raises `UsageError`."""
    if text is None:
        return None
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts) or len(parts) not in (1, count):
        raise UsageError(f"--classes {text!r}: write one class number, or {count}, separated by commas")
    return [int(part) for part in parts] * (count // len(parts))


@app.command(epilog=EPILOG)
def directions(
    name: Name,
    method: Annotated[str, typer.Option(metavar="NAME", help="sefa or ganspace.")] = "sefa",
    count: Annotated[
        int | None, typer.Option(metavar="N", help="Number of directions; by default 10.")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(metavar="N,N-N,…", help="Only these layers, if each has its own latent.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the strips, one row each.")] = "0-3",
    label: Label = None,
    strength: Annotated[
        float, typer.Option(metavar="X", help="Ends of the strips, in standard deviations.")
    ] = 3.0,
    distance: Annotated[
        str, typer.Option(metavar="NAME", help="Measure of the change: mse, pd_CLASSIFIER or auto.")
    ] = "auto",
    classifier: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="Classifier whose changes of class are counted, such as cnn-mnist.",
            callback=o.expand,
        ),
    ] = None,
    truncation: Truncation = 1.0,
    out: Annotated[Path, out_option("Folder of the pictures and the file.", "FOLDER")] = Path("directions"),
    device: Device = "cpu",
) -> None:
    """Find directions that change images in one way each, and draw them.

    The folder gets directions.png (all of them), d0.png … (several seeds each), effects.json and
    directions.safetensors, which `sample --direction` takes.
    """
    numbers, chosen = o.seeds(seeds), None if layers is None else o.seeds(layers, "--layers")
    from gantl_zoo.latent.directions import find_directions
    from gantl_zoo.latent.effects import effects

    gan = load(name, device)
    found = find_directions(gan, method, count=count, layers=chosen)
    judged = None if classifier is None else extractor_named(classifier, gan.image_shape)
    rows = effects(gan, found, labels=label, distance=distance, classifier=judged)
    from gantl_zoo.latent.pictures import save_directions

    settings: dict[str, Any] = {"labels": label, "truncation": truncation, "strength": strength}
    folder = save_directions(gan, found, rows, out, numbers, **settings)
    print("\n".join(table(rows)))
    print(folder)


def extractor_named(name: str, shape: tuple[int, int, int]) -> Any:
    """The classifier of that name for images (C, H, W). Raises `UsageError` for other networks."""
    from gantl_zoo.runs.extractor import trained

    found = trained(name, channels=shape[0])
    if not found.num_logits:
        raise UsageError(f"the classes of {name} are those of photographs; name another classifier")
    found.check(shape)
    return found


def table(rows: list[dict[str, Any]]) -> list[str]:
    """Rows of numbers and names as aligned text, with a line of titles."""
    cells = [list(rows[0]), *([shown(value) for value in row.values()] for row in rows)]
    widths = [max(len(line[i]) for line in cells) for i in range(len(cells[0]))]
    return ["  ".join(f"{cell:>{w}}" for cell, w in zip(line, widths, strict=True)) for line in cells]


def shown(value: Any) -> str:
    """A number with three digits, or a name."""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
