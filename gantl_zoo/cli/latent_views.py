"""`latent truncation|blocks|realness|neighbours|compare`: one picture each."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from gantl_zoo.cli import options as o
from gantl_zoo.cli.latent_options import Device, Label, Name, Seeds, load, out_option, table
from gantl_zoo.errors import UsageError

Data = Annotated[
    str, typer.Option(metavar="DATA", help="The images: a data set, a folder or a zip.", callback=o.expand)
]


def add(app: typer.Typer, epilog: str) -> None:
    for verb in (truncation, blocks, realness, neighbours, compare):
        app.command(epilog=epilog)(verb)


def truncation(
    name: Name,
    seeds: Seeds = "0-7",
    values: Annotated[
        str, typer.Option(metavar="X,X,…", help="Truncations, one column each.")
    ] = "0.25,0.5,0.7,0.85,1",
    label: Label = None,
    standing: Annotated[
        bool,
        typer.Option(
            "--standing/--running",
            help="Statistics of BatchNorm: measured at each truncation, or those of the model.",
        ),
    ] = True,
    out: Annotated[Path, out_option("The picture.")] = Path("truncation.png"),
    device: Device = "cpu",
) -> None:
    """Draw the same seeds at several truncations."""
    numbers, psis = o.seeds(seeds), numbers_in(values, "--values")
    from gantl_zoo.latent.truncation import has_batch_norm, truncation_sweep

    gan = load(name, device)
    images = truncation_sweep(gan, numbers, truncations=psis, labels=label, standing=standing)
    measured = "measured at each" if standing else "those of the model"
    added = f"; BatchNorm statistics {measured}" if has_batch_norm(gan) else ""
    draw(
        images,
        [[f"seed {seed}"] for seed in numbers],
        [f"{psi:g}" for psi in psis],
        f"{gan.name}: truncation{added}",
        out,
    )


def numbers_in(text: str, option: str) -> list[float]:
    """`0.5,1` as numbers. Raises `UsageError`."""
    try:
        return [float(part) for part in text.split(",")]
    except ValueError:
        raise UsageError(f"{option} {text!r}: write numbers, separated by commas, such as 0.5,1") from None


def blocks(
    name: Name,
    seeds: Seeds = "0-5",
    label: Label = None,
    out: Annotated[Path, out_option("The picture.")] = Path("blocks.png"),
    device: Device = "cpu",
) -> None:
    """Draw what each block of the generator paints: images without the details of one block."""
    numbers = o.seeds(seeds)
    import torch

    from gantl_zoo.latent.ablation import ablate_blocks

    gan = load(name, device)
    ablated = ablate_blocks(gan, numbers, labels=label)
    whole = gan.generate(seeds=numbers, labels=label)
    rows = [whole, *ablated.values()]
    errors = [float((one - whole).square().mean()) for one in ablated.values()]
    captions = [["all blocks"]]
    captions += [[f"without block {i}", f"error {e:.3f}"] for i, e in zip(ablated, errors, strict=True)]
    heads = [f"seed {seed}" for seed in numbers]
    draw(torch.stack(rows), captions, heads, f"{gan.name}: what each block paints", out)


def realness(
    name: Name,
    data: Annotated[
        str | None,
        typer.Option(
            metavar="DATA", help="Images that are judged in the place of samples.", callback=o.expand
        ),
    ] = None,
    count: Annotated[int, typer.Option(metavar="N", help="Number of samples or images.")] = 500,
    shown: Annotated[int, typer.Option(metavar="N", help="Images of each end that are drawn.")] = 8,
    label: Label = None,
    out: Annotated[Path, out_option("The picture.")] = Path("realness.png"),
    device: Device = "cpu",
) -> None:
    """Draw the images that the discriminator finds most and least real."""
    if not 1 <= shown <= count // 2:
        raise UsageError(f"--shown must be from 1 to half of --count ({count // 2}), not {shown}")
    if data is not None and label is not None:
        raise UsageError("--class is for samples; images of --data have classes of their own: leave one out")
    import torch

    from gantl_zoo.latent.compare import realness
    from gantl_zoo.pixels import to_float

    gan = load(name, device, discriminator=True)
    if data is None:
        samples = gan.sample(count, labels=label)
        images, labels, what = samples.tensor, samples.labels, "samples"
    else:
        loaded = images_in(data, gan, count)
        images, labels, what = to_float(loaded.images[:]), loaded.labels, f"images of {loaded.name}"
    logits = realness(gan, images, labels if gan.num_classes else None)
    order = logits.argsort(descending=True)
    chosen = torch.stack([order[:shown], order.flip(0)[:shown]])
    captions = [[f"most real: {logits[order[0]]:.2f}"], [f"least real: {logits[order[-1]]:.2f}"]]
    title = f"{gan.name}: {what} by the discriminator's logit, mean {logits.mean():.2f}"
    draw(images[chosen], captions, [], title, out)


def images_in(data: str, gan: Any, count: int | None = None) -> Any:
    """The training images of the data, in the model's shape: at most `count`, drawn at random."""
    from gantl_zoo.data import load as load_data

    loaded = load_data(data, image_size=gan.image_shape[1], channels=gan.image_shape[0])
    return loaded if count is None or count >= len(loaded) else loaded.few(count)


def neighbours(
    name: Name,
    data: Data,
    seeds: Seeds = "0-7",
    label: Label = None,
    nearest: Annotated[int, typer.Option(metavar="N", help="Training images beside each sample.")] = 3,
    extractor: Annotated[
        str, typer.Option(metavar="NAME", help="Features that are compared, as in evaluate.")
    ] = "auto",
    out: Annotated[Path, out_option("The picture.")] = Path("neighbours.png"),
    device: Device = "cpu",
) -> None:
    """Draw samples beside their nearest training images."""
    numbers = o.seeds(seeds)
    import torch

    from gantl_zoo.latent.compare import nearest_training
    from gantl_zoo.pixels import to_float
    from gantl_zoo.runs.extractor import choose_extractor

    gan = load(name, device)
    known = images_in(data, gan)
    features = choose_extractor(extractor, known)
    samples = gan.generate(seeds=numbers, labels=label)
    distances, index = nearest_training(samples, known, k=nearest, extractor=features)
    rows = torch.cat([samples[:, None], to_float(known.images[:])[index]], 1)
    captions = [
        [f"seed {seed}", f"nearest {float(distance[0]):.3g}"]
        for seed, distance in zip(numbers, distances, strict=True)
    ]
    heads = ["sample", *(f"{i + 1}." for i in range(nearest))]
    draw(rows, captions, heads, f"{gan.name}: nearest images of {known.name} by {features.name}", out)


def compare(
    name: Name,
    source: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="The source; by default the model that NAME was fine-tuned from.",
            callback=o.expand,
        ),
    ] = None,
    seeds: Seeds = "0-7",
    label: Label = None,
    out: Annotated[Path, out_option("The picture.")] = Path("compare.png"),
    device: Device = "cpu",
) -> None:
    """Draw the same seeds of a fine-tuned model and its source. Print how far each block moved."""
    numbers = o.seeds(seeds)
    from gantl_zoo.latent.ablation import block_movement, difference
    from gantl_zoo.latent.compare import side_by_side, source_of

    gan = load(name, device, discriminator=True)
    before = source_of(gan).to(gan.device) if source is None else load(source, device, discriminator=True)
    images = side_by_side(before, gan, numbers, labels=label)
    try:
        print("\n".join(table(block_movement(before, gan))))
        if text := difference(before, gan, "discriminator"):
            print(f"note: {text}", file=sys.stderr)
    except UsageError as error:  # other sizes or classes
        print(f"note: {error}", file=sys.stderr)
    captions = [[before.name, "source"], [gan.name, "fine-tuned"]]
    draw(images, captions, [f"seed {seed}" for seed in numbers], "The same seeds", out)


def draw(images: Any, captions: Any, heads: list[str], title: str, out: Path) -> None:
    """Write a table of images and print its path."""
    from gantl_zoo.viz.grid import save_picture
    from gantl_zoo.viz.table import image_table

    print(save_picture(image_table(images, captions, heads, title), out))
