"""What a direction does: strips of images along it, how much they change, and in what.

K directions, N seeds, T strengths, C channels, H, W image size.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.latent.directions import Directions
from gantl_zoo.latent.distance import AUTO, distance_named
from gantl_zoo.latent.space import some_seeds
from gantl_zoo.metrics.extractors import Extractor
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import labels_of

STRENGTHS = (-3.0, -2.0, -1.0, 0.0, 1.0, 2.0, 3.0)
MEASURED = 2.0  # strength to both sides at which a change is measured
SEEDS = range(16)


def strip(
    gan: GAN,
    direction: Tensor,
    seeds: Iterable[int],
    *,
    strengths: Sequence[float] = STRENGTHS,
    labels: int | Iterable[int] | None = None,
    truncation: float = 1.0,
) -> Tensor:
    """Images (N, T, C, H, W) of each seed, moved along the direction by each strength."""
    numbers = some_seeds(seeds)
    settings: dict[str, Any] = {"truncation": truncation, "direction": direction}
    settings["labels"] = None if labels is None else labels_of(labels, len(numbers))
    columns = [gan.generate(seeds=numbers, strength=strength, **settings) for strength in strengths]
    return torch.stack(columns, 1)


def effects(
    gan: GAN,
    directions: Directions,
    *,
    seeds: Iterable[int] = SEEDS,
    strength: float = MEASURED,
    labels: int | Iterable[int] | None = None,
    distance: str = AUTO,
    classifier: Extractor | None = None,
    truncation: float = 1.0,
) -> list[dict[str, float]]:
    """What changes from `-strength` to `strength` along each direction: the mean over the seeds.

    "change": the distance; see `distance_named`. "colour": the difference of the mean colour, in 255 levels.
    "position": how far the centre of what differs from the border's colour moves, in pixels. "classes": the
    share of seeds whose class changes, by a classifier if one is given. Raises `UsageError`.
    """
    measure = distance_named(distance, gan.image_shape, gan.device)
    numbers, rows = some_seeds(seeds), []
    settings: dict[str, Any] = {"strengths": (-strength, strength), "truncation": truncation}
    settings["labels"] = None if labels is None else labels_of(labels, len(numbers))
    for number, direction in enumerate(directions):
        before, after = strip(gan, direction, numbers, **settings).unbind(1)
        row = {"direction": number, "share": float(directions.values[number])}
        row["change"] = float(measure.measured(before, after, gan.device).mean())
        row["colour"] = colour(before, after)
        row["position"] = float((centre(before) - centre(after)).norm(dim=1).mean())
        if classifier is not None and classifier.num_logits:
            row["classes"] = reclassified(classifier, before, after)
        rows.append(row)
    return rows


def colour(before: Tensor, after: Tensor) -> float:
    """The mean difference of the images' mean colours, in 255 levels."""
    means = [images.mean((2, 3)) for images in (before, after)]  # (N, C)
    return float((means[0] - means[1]).abs().mean() * 127.5)


def centre(images: Tensor) -> Tensor:
    """The centre (N, 2), in pixels, of what differs from the median colour of the border."""
    border = torch.cat([images[..., [0, -1]].flatten(2), images[..., [0, -1], :].flatten(2)], 2)
    ground = border.median(2).values[:, :, None, None]  # (N, C, 1, 1)
    mass = (images - ground).abs().sum(1) + 1e-6  # (N, H, W)
    places = [torch.arange(size, dtype=mass.dtype) for size in mass.shape[1:]]
    total = mass.sum((1, 2))
    rows = (mass.sum(2) * places[0]).sum(1) / total
    columns = (mass.sum(1) * places[1]).sum(1) / total
    return torch.stack([rows, columns], 1)


def reclassified(classifier: Extractor, before: Tensor, after: Tensor) -> float:
    """The share of images whose predicted class differs."""
    logits = [classifier(images)[1] for images in (before, after)]
    assert logits[0] is not None and logits[1] is not None  # it is a classifier
    return float((logits[0].argmax(1) != logits[1].argmax(1)).double().mean())
