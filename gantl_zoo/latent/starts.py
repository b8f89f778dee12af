"""Where a projection starts: for each image the nearest of many random latents.

N images, S starts for each, M = N·S.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.latent.classes import render
from gantl_zoo.latent.distance import shrunk
from gantl_zoo.latent.space import Points, mapped, random_points
from gantl_zoo.model.gan import GAN

SIDE = 32  # pixels at which images are compared
CHUNK = 256  # candidates that are drawn at once


@dataclass(frozen=True)
class Starts:
    """Latents (M, ...) in Z or in the space of `map`, labels (M,) or None, and the starts of each image."""

    latents: Tensor
    labels: Tensor | None
    each: int


def candidates(gan: GAN, count: int, labels: Tensor | None, seed: int, space: str) -> Points:
    """Random latents in "z" or "w"; as many of each class in `labels` if they are given."""
    drawn = random_points(gan, count, seed, space)
    if labels is None:
        return drawn
    classes = torch.unique(labels).repeat_interleave(count)
    noise = torch.randn(count, gan.latent_dim, generator=torch.Generator().manual_seed(seed))
    noise = noise.repeat(len(classes) // count, 1)
    latents = mapped(gan, noise, classes) if space == "w" else noise
    return drawn.replaced(latents, functional.one_hot(classes, gan.num_classes).float())


def best_starts(gan: GAN, targets: Tensor, drawn: Points, labels: Tensor | None, each: int) -> Starts:
    """The `each` candidates whose pixels are nearest to each target (N, C, H, W), of its class if given."""
    small = shrunk(targets, SIDE).flatten(1)
    distances = []
    for start in range(0, len(drawn.latents), CHUNK):
        rows = slice(start, start + CHUNK)
        images = render(gan, drawn.replaced(drawn.latents[rows], drawn.classes[rows]))
        distances.append(torch.cdist(small, shrunk(images, SIDE).flatten(1)))
    apart = torch.cat(distances, 1)  # (N, candidates)
    if labels is not None:
        apart = apart.masked_fill(labels[:, None] != drawn.classes.argmax(1)[None], torch.inf)
    index = apart.topk(each, largest=False).indices.flatten()  # (N·S,)
    known = drawn.classes[index].argmax(1) if drawn.classes.shape[1] else None
    return Starts(drawn.latents[index], known, each)
