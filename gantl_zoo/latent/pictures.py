"""The folders of pictures that the command line writes."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from gantl_zoo.errors import DataError
from gantl_zoo.latent.directions import Directions
from gantl_zoo.latent.effects import strip
from gantl_zoo.latent.project import Projection
from gantl_zoo.model.gan import GAN
from gantl_zoo.storage.atomic import replace_file, replace_folder
from gantl_zoo.viz.grid import save_picture
from gantl_zoo.viz.table import image_table

COLUMNS = 7  # of a strip
MOST = 12  # projected images in a picture


def save_directions(
    gan: GAN,
    directions: Directions,
    rows: Sequence[dict[str, float]],
    folder: str | Path,
    seeds: Sequence[int],
    *,
    strength: float = 3.0,
    labels: int | Iterable[int] | None = None,
    truncation: float = 1.0,
) -> Path:
    """Write directions.png, d0.png, …, effects.json and directions.safetensors; returns the folder.

    They replace those of an earlier call, all or none; other files stay. Raises `DataError`.
    """
    strengths = torch.linspace(-strength, strength, COLUMNS).tolist()
    heads = [f"{value:+.1f}" if abs(value) > 1e-6 else "0" for value in strengths]
    settings: dict[str, Any] = {"strengths": strengths, "labels": labels, "truncation": truncation}
    strips = [strip(gan, direction, seeds, **settings) for direction in directions]
    title = f"{gan.name}: {directions.about['method']}, standard deviations along each direction"
    captions = [caption(row) for row in rows]
    lines = [[f"seed {seed}"] for seed in seeds]
    with staged(folder, r"directions\.(png|safetensors)|d\d+\.png|effects\.json") as new:
        shown = torch.stack([one[0] for one in strips])
        save_picture(image_table(shown, captions, heads, title), new / "directions.png")
        for number, images in enumerate(strips):
            about = f"{gan.name}: {', '.join(captions[number])}"
            save_picture(image_table(images, lines, heads, about), new / f"d{number}.png")
        write_json(new / "effects.json", {"truncation": truncation, "directions": list(rows)})
        directions.save(new / "directions.safetensors")
    return Path(os.path.expanduser(folder))


@contextmanager
def staged(folder: str | Path, own: str) -> Iterator[Path]:
    """Yield an empty folder whose files replace those in `folder` with names like `own`, all or none.

    Other files stay. Raises `DataError`.
    """
    path = Path(os.path.expanduser(folder))
    try:
        with replace_folder(path, along=lambda name: not re.fullmatch(own, name)) as new:
            yield new
    except OSError as error:
        raise DataError(f"can't write the folder {path}: {error.strerror or error}") from error


def save_projection(projection: Projection, folder: str | Path) -> Path:
    """Write proj.png, latents.safetensors and residuals.json, all or none; returns the folder.

    Other files in it stay. Raises `DataError`.
    """
    shown = slice(0, MOST)
    targets, images = projection.targets[shown], projection.images[shown]
    difference = (images - targets).abs() - 1  # black where they are equal
    heads = [f"{row['mse']:.4f}" for row in projection.residuals[shown]]
    captions = [["target"], ["projection", f"in {projection.latents.space}"], ["difference"]]
    title = f"{projection.latents.about['model']}: projected images, mean squared error above each"
    rows = torch.stack([targets, images, difference])
    about = {"distance": projection.distance, "seconds": round(projection.seconds, 2)}
    with staged(folder, r"proj\.png|latents\.safetensors|residuals\.json") as new:
        save_picture(image_table(rows, captions, heads, title), new / "proj.png")
        projection.latents.save(new / "latents.safetensors")
        write_json(new / "residuals.json", {**about, "images": projection.residuals})
    return Path(os.path.expanduser(folder))


def caption(row: dict[str, float]) -> list[str]:
    """The effects of a direction in a few lines."""
    lines = [f"d{row['direction']:.0f}", f"change {row['change']:.3g}", f"colour {row['colour']:.0f} of 255"]
    lines.append(f"position {row['position']:.1f} px")
    return lines + ([f"class {100 * row['classes']:.0f} %"] if "classes" in row else [])


def write_json(path: Path, values: Any) -> Path:
    """Write values as JSON; returns the path. Raises `DataError`."""
    try:
        with replace_file(path) as beside:
            beside.write_text(json.dumps(values, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise DataError(f"can't write {path}: {error.strerror}") from error
    return path
