"""`View`: what a page shows of a model; its images, sheets and files."""

from __future__ import annotations

import io
import json
import math
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import UsageError
from gantl_zoo.studio.models import Models
from gantl_zoo.studio.points import parsed, points_of

if TYPE_CHECKING:
    from torch import Tensor

    from gantl_zoo.latent.space import Points
    from gantl_zoo.model.gan import GAN

WALL = "0-23"
METHODS = ("sefa", "ganspace")
STRENGTH = 10.0  # standard deviations along a direction, at most


@dataclass(frozen=True)
class View:
    """A model, the texts of pictures (see `points`), and what moves them."""

    model: str
    texts: list[str]
    truncation: float = 1.0
    label: int | None = None
    method: str = METHODS[0]
    strengths: dict[int, float] = field(default_factory=dict)  # by the number of the direction

    @classmethod
    def of(cls, query: Mapping[str, str]) -> View:
        """The view of a page's address. Raises `UsageError` for values that are not valid."""
        method = query.get("method") or METHODS[0]
        if method not in METHODS:
            raise UsageError(f"directions are found by {' or '.join(METHODS)}")
        return cls(
            query.get("model", ""),
            parsed(query.get("seeds") or WALL),
            number("truncation", query.get("truncation") or "1", 0.0, 3.0),
            whole("class", label) if (label := query.get("label", "")) else None,
            method,
            strengths_of(query.get("move", "")),
        )


def number(name: str, text: str, least: float, most: float) -> float:
    """A number within limits. Raises `UsageError`."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise UsageError(f"{name} must be a number from {least:g} to {most:g}")
    return value


def whole(name: str, text: str, most: int = 1 << 31) -> int:
    """A whole number of at least 0. Raises `UsageError`."""
    if not (text.isascii() and text.isdecimal()) or len(text) > 12 or int(text) > most:
        raise UsageError(f"{name} must be a whole number of at most {most:,}")
    return int(text)


def strengths_of(text: str) -> dict[int, float]:
    """`0:1.5,3:-2` as strengths by direction. Raises `UsageError`."""
    pairs = (part.partition(":") for part in text.split(",")[:100] if part)
    return {
        whole("a direction", key, 999): number("a strength", value, -STRENGTH, STRENGTH)
        for key, _, value in pairs
    }


def moved(models: Models, view: View, gan: GAN) -> dict[str, Any]:
    """The sum of all directions as one, for `render`."""
    chosen = {key: value for key, value in view.strengths.items() if value}
    if not chosen:
        return {}
    directions = models.directions(view.model, view.method)
    if max(chosen) >= len(directions):
        raise UsageError(f"{gan.name} has {len(directions)} directions")
    return {"direction": sum(value * directions[key] for key, value in chosen.items())}


def images_of(models: Models, view: View, *, exact: bool = True) -> tuple[Points, Tensor]:
    """The points of a view, before they are moved, and their images (N, C, H, W).

    Without `exact` all are computed in one batch, which is faster, and the last bits may differ.
    """
    from gantl_zoo.latent.classes import render

    gan = models.gan(view.model)
    points = points_of(gan, view.texts, view.label)
    more: dict[str, Any] = moved(models, view, gan)
    if not exact:
        more["batch_size"] = min(len(view.texts), 32)
    return points, render(gan, points, view.truncation, **more)


def sheet(images: Tensor, columns: int) -> bytes:
    """A PNG of all images without gaps, row by row."""
    from gantl_zoo.pixels import to_uint8
    from gantl_zoo.viz.png import png
    from gantl_zoo.viz.sheet import arranged

    return png(arranged(to_uint8(images).numpy(), columns, scale=1))


def latents_file(models: Models, view: View, points: Points) -> bytes:
    """The safetensors file of the latents, with all moves applied, for `gantl-zoo sample --latents`."""
    from gantl_zoo.latent import Latents
    from gantl_zoo.networks.base import digest

    gan = models.gan(view.model)
    latents = (
        gan.truncate(points.latents, view.truncation)
        if points.space == "w"
        else points.latents * view.truncation
    )
    latents = latents.float().cpu() + moved(models, view, gan).get("direction", 0.0)
    labels = points.classes.argmax(1) if points.space == "z" and points.classes.shape[1] else None
    about = {
        "model": gan.name,
        "digest": digest(gan.generator.state_dict()),
        "pictures": ",".join(view.texts),
    }
    with tempfile.TemporaryDirectory() as place:
        return (
            Latents(latents, points.space, labels, about)
            .save(Path(place) / "latents.safetensors")
            .read_bytes()
        )


def archive(models: Models, view: View) -> bytes:
    """A ZIP with a PNG for each picture, the latents, and the settings."""
    points, images = images_of(models, view)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as packed:
        for text, image in zip(view.texts, images, strict=True):
            packed.writestr(f"seed{text}.png", sheet(image[None], 1))
        packed.writestr("latents.safetensors", latents_file(models, view, points))
        packed.writestr("settings.json", json.dumps(settings_of(view), indent=2) + "\n")
    return buffer.getvalue()


def settings_of(view: View) -> dict[str, Any]:
    """What the pictures of a view were computed from."""
    return {
        "model": view.model,
        "pictures": view.texts,
        "truncation": view.truncation,
        "class": view.label,
        "directions": view.method if view.strengths else None,
        "strengths": {str(key): value for key, value in view.strengths.items()},
    }
