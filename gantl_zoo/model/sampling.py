"""Latents and classes as functions of a seed."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import torch
from torch import Tensor

# One chunk size for all: convolutions may round differently for another batch size, and the image of a
# seed must not depend on how many others were asked for.
CHUNK = 16


SEEDS = 1 << 32  # a generator of random numbers looks at no more bits


def latents(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """Standard normal noise (N, Z); row i depends on seed i alone."""
    rows = [torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, latent_dim)


def drawn_classes(seeds: Sequence[int], num_classes: int) -> Tensor:
    """A class (N,) for each seed where nobody names one, whatever its latent."""
    digests = [hashlib.sha256(f"class of seed {seed}".encode()).digest() for seed in seeds]
    return torch.tensor([int.from_bytes(d[:8], "big") % num_classes for d in digests], dtype=torch.long)
