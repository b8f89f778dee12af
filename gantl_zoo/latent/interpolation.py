"""Interpolation between latents: spherical, linear and variance-preserving; strips, loops and grids.

N images, T frames, L classes; a latent is (..., Z), an intermediate one has the shape that `GAN.map` gives.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.latent.classes import render
from gantl_zoo.latent.space import Points, points
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import whole
from gantl_zoo.viz.images import Images

PARALLEL = 1e-4  # sine of an angle below which two latents are on one line
MOST = 10_000  # images of one strip or grid


def lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Linear interpolation. Between two normal latents it passes through less likely, shorter ones."""
    return (1 - t) * a + t * b


def slerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Spherical interpolation along the last axis (Shoemake 1985): on an arc, so that the norm stays.

    Latents on one line, where no arc is defined, are interpolated linearly.
    """
    unit = [functional.normalize(one, dim=-1) for one in (a, b)]
    angle = (unit[0] * unit[1]).sum(-1, keepdim=True).clamp(-1, 1).acos()
    sine = angle.sin()
    safe = torch.where(sine < PARALLEL, torch.ones_like(sine), sine)
    arc = (((1 - t) * angle).sin() * a + (t * angle).sin() * b) / safe
    return torch.where(sine < PARALLEL, lerp(a, b, t), arc)


def variance_preserving_lerp(a: Tensor, b: Tensor, t: Tensor | float) -> Tensor:
    """Linear interpolation, divided so that independent normal latents stay normal with variance 1."""
    norm = ((1 - t) ** 2 + t**2) ** 0.5
    return lerp(a, b, t) / norm


METHODS: dict[str, Callable[[Tensor, Tensor, Tensor | float], Tensor]] = {
    "slerp": slerp,
    "lerp": lerp,
    "vp-lerp": variance_preserving_lerp,
}


def method_named(name: str | None, space: str) -> Callable[[Tensor, Tensor, Tensor | float], Tensor]:
    """The interpolation of that name; None means slerp in Z, lerp in W. Raises `UnknownNameError`."""
    chosen = name or ("slerp" if space == "z" else "lerp")
    if chosen not in METHODS:
        raise UsageError(unknown("interpolation", chosen, METHODS))
    return METHODS[chosen]


def interpolate(
    gan: GAN,
    seeds: Iterable[int],
    *,
    steps: int = 8,
    method: str | None = None,
    space: str | None = None,
    labels: int | Iterable[int] | None = None,
    truncation: float = 1.0,
    loop: bool = False,
) -> Images:
    """The images on the way from each seed to the next one, `steps` intervals each.

    `method` is "slerp", "lerp" or "vp-lerp" (variance-preserving). `space` is "z" or, for a network with an
    intermediate latent space, "w"; the default is the latter, if there is one. The default method is slerp in
    Z, lerp in W; in W the other two act on differences from its mean. `labels` are the classes of the seeds,
    which are interpolated, too. `loop` adds the way from the last seed back to the first, without the
    repeated image. Raises `UsageError`.
    """
    ends = points(gan, seeds, labels, space)
    check(ends, 2, steps)
    between, mean = method_named(method, ends.space), mean_of(gan, ends)
    order = [*range(len(ends.latents)), *([0] if loop else [])]
    frames, mixtures = [], []
    for first, last in itertools.pairwise(order):
        ratios = torch.arange(steps, dtype=torch.float32) / steps
        frames.append(along(ends.latents - mean, (first, last), ratios, between) + mean)
        mixtures.append(along(ends.classes, (first, last), ratios, lerp))
    if not loop:
        frames.append(ends.latents[-1:])
        mixtures.append(ends.classes[-1:])
    path = ends.replaced(torch.cat(frames), torch.cat(mixtures))
    return Images(render(gan, path, truncation))


def interpolation_grid(
    gan: GAN,
    seeds: Iterable[int],
    *,
    steps: int = 6,
    method: str | None = None,
    space: str | None = None,
    labels: int | Iterable[int] | None = None,
    truncation: float = 1.0,
) -> Images:
    """(`steps` + 1)² images between four seeds, which are the corners, row by row; see `interpolate`."""
    ends = points(gan, seeds, labels, space)
    if len(ends.latents) != 4:
        raise UsageError(f"a grid lies between 4 seeds, not {len(ends.latents)}")
    check(ends, 4, (steps + 1) ** 2 // 4 if type(steps) is int and steps > 0 else steps)
    between, mean = method_named(method, ends.space), mean_of(gan, ends)
    ratios = torch.arange(steps + 1, dtype=torch.float32) / steps
    latents = surface(ends.latents - mean, ratios, between) + mean
    path = ends.replaced(latents, surface(ends.classes, ratios, lerp))
    return Images(render(gan, path, truncation))


@torch.no_grad()
def mean_of(gan: GAN, ends: Points) -> Tensor:
    """The mean latent (1, …), about which slerp turns: zero in Z."""
    first = ends.latents[:1]
    return torch.zeros_like(first) if ends.space == "z" else gan.truncate(first, 0.0).float().cpu()


def along(values: Tensor, pair: Sequence[int], ratios: Tensor, between: Any) -> Tensor:
    """The values (T, ...) at `ratios` (T,) of the way between two of the `values`."""
    a, b = values[pair[0]], values[pair[1]]
    shaped = ratios.view(-1, *[1] * a.ndim)
    way: Tensor = between(
        a[None].expand(len(ratios), *a.shape), b[None].expand(len(ratios), *b.shape), shaped
    )
    return way


def surface(corners: Tensor, ratios: Tensor, between: Any) -> Tensor:
    """The values (T·T, ...) between four corners: upper left, upper right, lower left, lower right."""
    left = along(corners, (0, 2), ratios, between)
    right = along(corners, (1, 3), ratios, between)
    rows = [along(torch.stack(pair), (0, 1), ratios, between) for pair in zip(left, right, strict=True)]
    return torch.cat(rows)


def check(ends: Points, least: int, steps: Any) -> None:
    """Raise `UsageError` for fewer than `least` seeds, and for a number of steps that can't be used."""
    if len(ends.latents) < least:
        raise UsageError(f"an interpolation needs at least {least} seeds, not {len(ends.latents)}")
    if whole("steps", steps) < 1:
        raise UsageError(f"steps must be at least 1, not {steps}")
    if (count := steps * len(ends.latents)) > MOST:
        raise UsageError(f"{count:,} images are too many for one interpolation; the limit is {MOST:,}")
