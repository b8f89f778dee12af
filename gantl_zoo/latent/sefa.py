"""SeFa (Shen & Zhou 2021, https://arxiv.org/abs/2007.06600): directions from weights alone, without samples.

D size of a latent, K directions.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.latent_weights import latent_weights


def find(gan: GAN, *, count: int, layers: Sequence[int] | None, **others: Any) -> tuple[Tensor, Tensor]:
    """Unit vectors (K, D) along which the layers that take the latent change most, and their shares (K,).

    They are the eigenvectors of A·Aᵀ (equation 4), largest eigenvalue first. A (D, outputs) are the weights
    of the chosen layers, or of all if there is one latent for all. Its columns have length 1, as in the
    published code.
    """
    weights = latent_weights(gan.generator)
    if layers is not None:  # each layer has a latent of its own
        if max(layers) >= len(weights):
            raise UsageError(f"{gan.name} states the weights of {len(weights)} layers, but has more latents")
        weights = [weights[i] for i in layers]
    return factorised(torch.cat(weights, 1), count)


def factorised(weight: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """The first `count` eigenvectors (K, D) of a weight (D, outputs), and their share of all eigenvalues."""
    columns = functional.normalize(weight.double(), dim=0)
    values, vectors = torch.linalg.eigh(columns @ columns.T)  # ascending
    values = values.flip(0).clamp(min=0)
    return vectors.flip(1).T[:count].float(), (values / values.sum())[:count].float()
