"""GANSpace (Härkönen et al. 2020, https://arxiv.org/abs/2004.02546): principal components of samples.

n samples, D size of a latent, F features of an activation, K directions.
"""

from __future__ import annotations

import contextlib
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.latent.blocks import hooked
from gantl_zoo.latent.space import Points, centred, in_one_layer, is_mapped, random_points
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import call

BATCH = 64
EXTRA, ITERATIONS = 10, 4  # vectors beyond those that are returned; of the subspace iteration
NUMBERS = 50_000_000  # of activations in memory: 200 MB


def find(gan: GAN, *, count: int, samples: int, seed: int, **others: Any) -> tuple[Tensor, Tensor]:
    """Unit vectors (K, D) of most variance, and their shares (K,) of the variance.

    With an intermediate space these are the principal components of w (section 2.1). Without one, they are
    those of the activations after the first block, moved to Z by least squares (section 2.2, equation 3).
    """
    points = random_points(gan, samples, seed)
    if is_mapped(gan):
        directions, share, _ = components(centred(in_one_layer(points), points.classes), count, seed)
        return directions, share
    activations = first_activations(gan, points)
    _components, share, coordinates = components(centred(activations, points.classes), count, seed)
    latents = points.latents[: len(activations)]
    solution = torch.linalg.lstsq(coordinates.double(), latents.double()).solution  # (K, D)
    return functional.normalize(solution, dim=1).float(), share


def components(values: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Components (K, F) of centred values (n, F), their shares (K,), and the coordinates (n, K)."""
    sizes, vectors = largest(values, min(count + EXTRA, *values.shape), seed)
    chosen = vectors[:, :count]
    share = sizes.square()[:count] / values.square().sum().clamp(min=1e-12)
    return chosen.T.contiguous(), share, values @ chosen


def largest(values: Tensor, count: int, seed: int) -> tuple[Tensor, Tensor]:
    """The largest singular values (K,) and their right vectors (F, K), by subspace iteration.

    This is algorithm 4.4 of Halko et al. 2011, https://arxiv.org/abs/0909.4061. The random start is drawn
    from a generator of its own, so other threads have no part in it.
    """
    generator = torch.Generator().manual_seed(seed)
    basis = values @ torch.randn(values.shape[1], count, generator=generator)  # (n, K)
    for _ in range(ITERATIONS):
        basis = torch.linalg.qr(basis).Q
        basis = values @ torch.linalg.qr(values.T @ basis).Q
    basis = torch.linalg.qr(basis).Q
    _left, sizes, right = torch.linalg.svd(basis.T @ values, full_matrices=False)
    return sizes, right.T


class Enough(Exception):
    """Ends a forward pass after the first block."""


@torch.no_grad()
def first_activations(gan: GAN, points: Points) -> Tensor:
    """The flat outputs (n, F) of the first block: of as many points as fit into memory."""
    labels = points.classes.argmax(1) if points.classes.shape[1] else None
    activations: list[Tensor] = []

    def keep(index: int, output: Tensor) -> None:
        activations.append(output.flatten(1).float().cpu())
        raise Enough

    with hooked(gan.generator, keep) as network:
        for start in range(0, len(points.latents), BATCH):
            noise = points.latents[start : start + BATCH].to(gan.device, gan.dtype)
            known = None if labels is None else labels[start : start + BATCH].to(gan.device)
            with contextlib.suppress(Enough):
                call(network, noise, known)
            if not activations:
                raise UsageError(f"the blocks of {gan.name} return no tensors; use the method sefa")
            if (start + 2 * BATCH) * activations[0].shape[1] > NUMBERS and start >= 4 * gan.latent_dim:
                break
    return torch.cat(activations)
