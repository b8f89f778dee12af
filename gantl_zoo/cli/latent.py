"""`latent interpolate|directions|project|truncation|…`: look inside a GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import latent_views, options as o
from gantl_zoo.cli.command import Verbs
from gantl_zoo.cli.latent_options import Device, Label, Name, Seeds, Truncation, load, out_option, table
from gantl_zoo.errors import UsageError

EPILOG = """Examples:

  gantl-zoo latent interpolate dcgan-faces --seeds 0-3 --loop --out faces.webp

  gantl-zoo latent directions dcgan-faces --out directions

  gantl-zoo sample dcgan-faces --direction directions/directions.safetensors:2 --strength 2 --out moved.png

  gantl-zoo latent project dcgan-faces --data ./photos --out projection

  gantl-zoo latent truncation dcgan-faces --out truncation.png

  gantl-zoo latent compare runs/00003-mine --out compare.png"""
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


Classes = Annotated[str | None, typer.Option("--classes", metavar="N,N,…", help="The class of each seed.")]
Curve = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="slerp, lerp or vp-lerp; by default slerp in z and lerp in w."),
]
Space = Annotated[
    str | None, typer.Option(metavar="NAME", help="z, or w for a network that has it (its default).")
]


@app.command(epilog=EPILOG)
def interpolate(
    name: Name,
    seeds: Seeds = "0-3",
    classes: Classes = None,
    steps: Annotated[int, typer.Option(metavar="N", help="Images from one seed to the next.")] = 8,
    method: Curve = None,
    space: Space = None,
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


Count = Annotated[int | None, typer.Option(metavar="N", help="Number of directions; by default 10.")]
Layers = Annotated[
    str | None, typer.Option(metavar="N,N-N,…", help="Only these layers, if each has its own latent.")
]
Strength = Annotated[float, typer.Option(metavar="X", help="Ends of the strips, in standard deviations.")]
Change = Annotated[
    str, typer.Option(metavar="NAME", help="Measure of the change: mse, pd_CLASSIFIER or auto.")
]
Classifier = Annotated[
    str | None,
    typer.Option(
        metavar="NAME",
        help="Classifier whose changes of class are counted, such as cnn-mnist.",
        callback=o.expand,
    ),
]


@app.command(epilog=EPILOG)
def directions(
    name: Name,
    method: Annotated[str, typer.Option(metavar="NAME", help="sefa or ganspace.")] = "sefa",
    count: Count = None,
    layers: Layers = None,
    seeds: Annotated[str, typer.Option(help="Seeds of the strips, one row each.")] = "0-3",
    label: Label = None,
    strength: Strength = 3.0,
    distance: Change = "auto",
    classifier: Classifier = None,
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
    result = find_directions(gan, method, count=count, layers=chosen)
    judged = None if classifier is None else extractor_named(classifier, gan.image_shape)
    how: dict[str, Any] = {"labels": label, "distance": distance, "truncation": truncation}
    rows = effects(gan, result, **how, classifier=judged)
    from gantl_zoo.latent.pictures import save_directions

    settings: dict[str, Any] = {"labels": label, "truncation": truncation, "strength": strength}
    folder = save_directions(gan, result, rows, out, numbers, **settings)
    print("\n".join(table(rows)))
    print(folder)


def extractor_named(name: str, shape: tuple[int, int, int]) -> Any:
    """The classifier of that name for images (C, H, W). Raises `UsageError` for other networks."""
    from gantl_zoo.runs.extractor import trained

    extractor = trained(name, channels=shape[0])
    if not extractor.num_logits:
        raise UsageError(f"the classes of {name} are those of photographs; name another classifier")
    extractor.check(shape)
    return extractor


Targets = Annotated[
    str,
    typer.Option(
        metavar="DATA", help="An image, a folder or zip of images, or a data set.", callback=o.expand
    ),
]
LatentSpace = Annotated[
    str | None, typer.Option(metavar="NAME", help="z, or w or w+ for a network that has them.")
]
Distance = Annotated[
    str,
    typer.Option(
        metavar="NAME",
        help="mse, pd_CLASSIFIER or mse+pd_CLASSIFIER; auto: mse, and both from 96 pixels.",
    ),
]
Tries = Annotated[int, typer.Option(metavar="N", help="Random latents of which these are the best.")]


@app.command(epilog=EPILOG)
def project(
    name: Name,
    data: Targets,
    count: Annotated[int, typer.Option(metavar="N", help="The first N images of the data.")] = 8,
    space: LatentSpace = None,
    distance: Distance = "auto",
    steps: Annotated[int, typer.Option(metavar="N", help="Steps of Adam.")] = 400,
    starts: Annotated[int, typer.Option(metavar="N", help="Starts for each image.")] = 4,
    tries: Tries = 1_000,
    label: Label = None,
    seed: Annotated[int, typer.Option(metavar="N", help="Seed of the random latents.")] = 0,
    out: Annotated[Path, out_option("Folder of the picture and the files.", "FOLDER")] = Path("projection"),
    device: Device = "cpu",
) -> None:
    """Find the latents whose images are like given ones.

    The folder gets proj.png, residuals.json and latents.safetensors, which `sample --latents` takes.
    """
    if count < 1:
        raise UsageError(f"--count must be at least 1, not {count}")
    gan = load(name, device)
    images = target_images(data, gan.image_shape, count)
    from gantl_zoo.latent.pictures import save_projection
    from gantl_zoo.latent.project import project

    settings: dict[str, Any] = {"space": space, "distance": distance, "steps": steps, "seed": seed}
    projection = project(gan, images, **settings, starts=starts, tries=tries, labels=label)
    folder = save_projection(projection, out)
    print("\n".join(table([{"image": number, **row} for number, row in enumerate(projection.residuals)])))
    print(folder)


def target_images(source: str, shape: tuple[int, int, int], count: int) -> Any:
    """The first images (N, C, H, W), uint8, of a file, a folder, a zip or a data set."""
    from gantl_zoo.data import as_image_data, is_name, load

    path = Path(source)
    if not path.is_file() or path.suffix.lower() == ".zip":
        split = "test" if is_name(source) else "train"
        return load(source, split=split, image_size=shape[1], channels=shape[0]).images[:count]
    from PIL import Image

    try:
        with Image.open(path) as picture:
            picture.load()
            return as_image_data([picture], shape[1]).fit(shape[1], shape[0]).images
    except OSError as error:
        raise UsageError(f"{source} is not an image that can be read: {error}") from error


latent_views.add(app, EPILOG)
