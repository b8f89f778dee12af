"""Projection (inversion): find latents whose images are like given ones.

The schedule is that of the projector of StyleGAN2 (Karras et al. 2020, https://arxiv.org/abs/1912.04958,
appendix D): Adam, a learning rate that rises over the first 5 % of the steps and falls as a cosine over the
last 25 %, and noise on the latents that ends after three quarters. Each image has several starts, the best of
many random latents. In Z the norm stays within that of random latents. The noise maps of a network, such as
those of StyleGAN2, stay fixed: only latents are optimised.

N images, S starts, M = N·S, D size of a latent, L layers.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import DataError, UsageError, unknown
from gantl_zoo.latent.distance import AUTO, MSE, Distance, automatic, distance_named
from gantl_zoo.latent.latents import SPACES, Latents
from gantl_zoo.latent.space import is_mapped, random_points, space_of
from gantl_zoo.latent.starts import Starts, best_starts, candidates
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import factor, whole
from gantl_zoo.networks.base import digest
from gantl_zoo.pixels import to_float
from gantl_zoo.seeding import mixed

RATES = {"z": 0.05, "w": 0.1, "w+": 0.05}  # learning rates
UP, DOWN, QUIET, NOISE = 0.05, 0.25, 0.75, 0.05  # shares of the steps; noise in standard deviations
AT_ONCE = 64  # latents that are optimised together
FEATURES = 96  # pixels of a side from which on features are compared by default


@dataclass(frozen=True, eq=False)
class Projection:
    """Projected images: their `latents`, the `targets` and the `images` of the latents (N, C, H, W).

    `residuals` has for each image "mse", the `distance` that was minimised and the perceptual one by their
    names, and "radius", the norm of the latent relative to that of random ones.
    """

    latents: Latents
    targets: Tensor
    images: Tensor
    residuals: list[dict[str, float]]
    seconds: float
    distance: str


def project(
    gan: GAN,
    images: Any,
    *,
    space: str | None = None,
    distance: str = AUTO,
    steps: int = 400,
    starts: int = 4,
    tries: int = 1_000,
    lr: float | None = None,
    labels: int | Iterable[int] | None = None,
    seed: int = 0,
) -> Projection:
    """Find the latents of images (N, C, H, W), a tensor or `Images`, of the model's shape.

    `space` is "z", "w" or "w+" (one latent for each layer); by default "w" if the network has it. `distance`
    is "mse", "pd_NAME" or "mse+pd_NAME"; by default pixels below 96 pixels a side, else both. For each image
    `starts` latents are optimised, the nearest of `tries` random ones. `labels` are the images' classes; by
    default those of the nearest random latents. The projection of an image depends on `seed`, but not on the
    other images. Raises `UsageError`, `DataError`.
    """
    begin = time.perf_counter()
    targets, space = checked(gan, images), checked_space(gan, space)
    for name, value in (("steps", steps), ("starts", starts), ("tries", tries)):
        if whole(name, value) < (0 if name == "steps" else 1):
            raise UsageError(f"{name} must be at least 1, not {value}")
    if lr is not None and factor("lr", lr) <= 0:
        raise UsageError(f"lr must be positive, not {lr}")
    measure = chosen_distance(distance, gan)
    known = None if labels is None else gan.check_labels(labels, len(targets))
    drawn = candidates(gan, max(tries, starts), known, seed, space[0])
    first = best_starts(gan, targets, drawn, known, starts)
    settings: dict[str, Any] = {"space": space, "steps": steps, "lr": lr or RATES[space], "seed": seed}
    best = optimised(gan, targets, first, measure, **settings)
    return result(gan, targets, best, measure, space, begin)


def optimised(
    gan: GAN,
    targets: Tensor,
    starts: Starts,
    measure: Distance,
    *,
    space: str,
    steps: int,
    lr: float,
    seed: int,
) -> Starts:
    """The best latent of each image after optimisation: as many starts as images."""
    latents, losses = [], []
    repeated = targets.repeat_interleave(starts.each, 0)  # (M, C, H, W)
    for rows in torch.split(torch.arange(len(repeated)), AT_ONCE):
        labels = None if starts.labels is None else starts.labels[rows]
        noise = Noise(rows % starts.each, seed)
        part = Descent(gan, repeated[rows], starts.latents[rows], labels, measure, space, noise)
        optimum, loss = part.run(steps, lr)
        latents.append(optimum)
        losses.append(loss)
    best = torch.cat(losses).view(-1, starts.each).argmin(1) + torch.arange(len(targets)) * starts.each
    labels = None if starts.labels is None else starts.labels[best]
    return Starts(torch.cat(latents)[best], labels, 1)


class Noise:
    """Normal noise for each row, from a generator for each start: it does not depend on the other images."""

    def __init__(self, starts: Tensor, seed: int) -> None:
        self.starts = starts
        self.generators = {
            number: torch.Generator().manual_seed(mixed(seed, number)) for number in set(starts.tolist())
        }

    def like(self, latents: Tensor) -> Tensor:
        """New noise of the shape and on the device of latents (M, …)."""
        shape = latents.shape[1:]
        drawn = {number: torch.randn(shape, generator=one) for number, one in self.generators.items()}
        return torch.stack([drawn[number] for number in self.starts.tolist()]).to(latents)


class Descent:
    """Adam on latents (M, ...) for targets (M, C, H, W)."""

    def __init__(
        self,
        gan: GAN,
        targets: Tensor,
        latents: Tensor,
        labels: Tensor | None,
        measure: Distance,
        space: str,
        noise: Noise,
    ) -> None:
        self.gan, self.measure, self.space, self.noise = gan, measure, space, noise
        self.targets, self.labels = targets.to(gan.device), labels
        self.layers = latents.shape[1] if latents.ndim == 3 else 0
        start = latents[:, :1] if space == "w" and self.layers else latents  # W: equal in all layers
        self.latents = start.clone().to(gan.device).requires_grad_(True)
        self.std = 1.0 if space == "z" else deviation(gan)

    def images(self, latents: Tensor) -> Tensor:
        """Images (M, C, H, W) of latents; in W they are repeated for each layer."""
        if self.space != "z":
            return self.gan.synthesize(self.all_layers(latents))
        labels = None if is_mapped(self.gan) else self.labels
        return self.gan.synthesize(self.gan.map(latents, self.labels), labels)

    def all_layers(self, latents: Tensor) -> Tensor:
        """Latents of the shape that `map` gives."""
        return latents.expand(-1, self.layers, -1) if self.space == "w" and self.layers else latents

    def run(self, steps: int, lr: float) -> tuple[Tensor, Tensor]:
        """The latents (M, ...) and the distances (M,) of their images, on the CPU."""
        adam = torch.optim.Adam([self.latents], lr=lr)
        for step in range(steps):
            for group in adam.param_groups:
                group["lr"] = lr * pace((step + 1) / steps)
            noise = self.std * NOISE * max(0.0, 1 - step / steps / QUIET) ** 2
            noisy = self.latents + noise * self.noise.like(self.latents)
            loss = self.measure(self.images(noisy), self.targets).sum()
            (self.latents.grad,) = torch.autograd.grad(loss, [self.latents])
            adam.step()
            if self.space == "z":
                shorten(self.latents)
        with torch.no_grad():
            losses = self.measure(self.images(self.latents), self.targets).float().cpu()
        return self.all_layers(self.latents.detach()).float().cpu().clone(), losses


def deviation(gan: GAN) -> float:
    """The root of the mean squared distance of random intermediate latents from their mean, in one layer."""
    variance: Tensor = random_points(gan, 1_000).latents.var(0)  # (D,) or (L, D)
    return float(variance.sum(-1).mean().sqrt())


def pace(t: float) -> float:
    """The factor of the learning rate at the share `t` of the steps."""
    down = min(1.0, (1 - t) / DOWN)
    return min(1.0, t / UP) * (0.5 - 0.5 * math.cos(math.pi * down))


@torch.no_grad()
def shorten(latents: Tensor) -> None:
    """Scale latents (M, Z) in place to norms that 19 of 20 random latents have, or within 10 %."""
    size = latents.shape[1]
    margin = max(0.1, 2 / math.sqrt(2 * size))
    norms = latents.norm(dim=1, keepdim=True)
    limits = ((1 - margin) * math.sqrt(size), (1 + margin) * math.sqrt(size))
    latents.mul_(norms.clamp(*limits) / norms.clamp(min=1e-8))


@torch.no_grad()
def result(
    gan: GAN, targets: Tensor, best: Starts, measure: Distance, space: str, begin: float
) -> Projection:
    """The projection with its residuals."""
    about = {"model": gan.name, "digest": digest(gan.generator.state_dict())}
    labels = best.labels if space == "z" else None
    latents = Latents(best.latents, space, labels, about)
    images = latents.images(gan)
    columns = {"mse": (images - targets).square().mean((1, 2, 3))}
    for one in (measure, automatic(gan.image_shape, gan.device)):
        columns[one.name] = one.measured(images, targets, gan.device)
    columns["radius"] = radius(gan, best.latents, space)
    rows = [dict(zip(columns, row, strict=True)) for row in torch.stack(list(columns.values()), 1).tolist()]
    return Projection(latents, targets, images, rows, time.perf_counter() - begin, measure.name)


def radius(gan: GAN, latents: Tensor, space: str) -> Tensor:
    """The norms (N,) of latents, in W of their differences from the mean, relative to random ones."""
    flat = latents.flatten(1)
    if space == "z":
        norms: Tensor = flat.norm(dim=1) / math.sqrt(flat.shape[1])
        return norms
    normal = random_points(gan, 1_000).latents.flatten(1)
    mean = normal.mean(0)
    usual = (normal - mean).norm(dim=1).mean()
    relative: Tensor = (flat - mean).norm(dim=1) / usual
    return relative


def checked(gan: GAN, images: Any) -> Tensor:
    """Images (N, C, H, W) as floats in [-1, 1]. Raises `DataError` for images of another shape."""
    tensor = getattr(images, "tensor", images)
    if not isinstance(tensor, Tensor) or tensor.ndim != 4 or not len(tensor):
        raise UsageError(f"images must be a tensor (N, C, H, W), not {type(images).__name__}")
    if tuple(tensor.shape[1:]) != gan.image_shape:
        raise DataError(
            f"{gan.name} makes images {gan.image_shape} (channels, height, width), not "
            f"{tuple(tensor.shape[1:])}; resize and convert them first"
        )
    floats = to_float(tensor) if tensor.dtype == torch.uint8 else tensor.float()
    if not floats.isfinite().all():
        raise DataError("the images have NaN or infinite values")
    return floats.detach().cpu()


def checked_space(gan: GAN, space: str | None) -> str:
    """The space of that name. Raises `UsageError` for one that the network does not have."""
    if space is not None and space not in SPACES:
        raise UsageError(unknown("latent space", space, SPACES))
    if space != "w+":
        return space_of(gan, space)
    space_of(gan, "w")
    if random_points(gan, 1).latents.ndim != 3:
        raise UsageError(f"{gan.name} has one latent for all layers, so there is no w+; use w")
    return space


def chosen_distance(name: str, gan: GAN) -> Distance:
    """The distance of that name; see `project`."""
    if name != AUTO:
        return distance_named(name, gan.image_shape, gan.device)
    best = automatic(gan.image_shape, gan.device)
    if min(gan.image_shape[1:]) < FEATURES or best.name == MSE:
        return distance_named(MSE, gan.image_shape, gan.device)
    pixels = distance_named(MSE, gan.image_shape, gan.device)
    return Distance(f"{MSE}+{best.name}", pixels.parts + best.parts)
