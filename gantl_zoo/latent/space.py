"""`Points`: latents in Z or in a network's intermediate latent space W, with their classes.

N points, L classes, Z latent size.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import drawn_classes, latents, seeds_of
from gantl_zoo.networks.mapping import MappedGenerator

SPACES = ("z", "w")
CHUNK = 256  # latents that are mapped at once


@dataclass(frozen=True)
class Points:
    """Latents (N, Z) in Z or (N, ...) in W, and classes (N, L) as weights that sum to 1, L = 0 without."""

    latents: Tensor
    classes: Tensor
    space: str

    def replaced(self, latents: Tensor, classes: Tensor) -> Points:
        """Other points of the same space."""
        return replace(self, latents=latents, classes=classes)


def is_mapped(gan: GAN) -> bool:
    """Whether the generator has an intermediate latent space."""
    return isinstance(gan.generator, MappedGenerator)


def space_of(gan: GAN, space: str | None) -> str:
    """The space of that name; None means W if the network has it, else Z. Raises `UsageError`."""
    if space is None:
        return "w" if is_mapped(gan) else "z"
    if space not in SPACES:
        raise UsageError(unknown("latent space", space, SPACES))
    if space == "w" and not is_mapped(gan):
        raise UsageError(f"{gan.name} has no intermediate latent space W; use space z")
    return space


def some_seeds(seeds: Iterable[int]) -> list[int]:
    """The seeds as a list. Raises `UsageError` for an empty one."""
    numbers = list(seeds_of(None, None, seeds))
    if not numbers:
        raise UsageError("give at least one seed")
    return numbers


def points(
    gan: GAN, seeds: Iterable[int], labels: int | Iterable[int] | None = None, space: str | None = None
) -> Points:
    """The latents and the classes of seeds. `labels` are as in `generate`. Raises `UsageError`."""
    space, numbers = space_of(gan, space), seeds_of(None, None, seeds)
    if labels is None and gan.num_classes:
        labels = drawn_classes(numbers, gan.num_classes)
    known = gan.check_labels(labels, len(numbers))
    noise = latents(numbers, gan.latent_dim)
    classes = torch.zeros(len(noise), 0)
    if known is not None:
        classes = functional.one_hot(known, gan.num_classes).float()
    return Points(mapped(gan, noise, known) if space == "w" else noise, classes, space)


@torch.no_grad()
def mapped(gan: GAN, noise: Tensor, labels: Tensor | None = None) -> Tensor:
    """Latents of `GAN.map`, float32 on the CPU; the noise itself for a network without W."""
    if not is_mapped(gan):
        return noise
    starts = range(0, max(1, len(noise)), CHUNK)
    parts = [gan.map(noise[i : i + CHUNK], None if labels is None else labels[i : i + CHUNK]) for i in starts]
    return torch.cat(parts).float().cpu()


def random_points(gan: GAN, count: int, seed: int = 0, space: str | None = None) -> Points:
    """Random latents, by default those of `map`: all from one seed, so that thousands take no time."""
    space = space_of(gan, space)
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(count, gan.latent_dim, generator=generator)
    labels = None
    classes = torch.zeros(count, 0)
    if gan.num_classes:
        labels = torch.randint(gan.num_classes, (count,), generator=generator)
        classes = functional.one_hot(labels, gan.num_classes).float()
    return Points(mapped(gan, noise, labels) if space == "w" else noise, classes, space)


def in_one_layer(points: Points) -> Tensor:
    """The latents (N, D) of the first layer: `map` gives all layers the same."""
    return points.latents[:, 0] if points.latents.ndim == 3 else points.latents


def centred(values: Tensor, classes: Tensor) -> Tensor:
    """Values (n, F) minus the mean of their class, so that no direction stands for a class."""
    if not classes.shape[1]:
        return values - values.mean(0)
    means = classes.T @ values / classes.sum(0).clamp(min=1)[:, None]  # (L, F)
    return values - classes @ means
