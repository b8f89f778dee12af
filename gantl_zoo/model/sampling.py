"""Latents and classes as functions of a seed, as tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.model.seeds import (
    CHUNK,
    batch_size_of,
    check_count,
    class_numbers,
    factor,
    known_labels,
    label_numbers,
    scale,
    seeds_of,
    whole,
    whole_numbers,
)

__all__ = [
    "CHUNK",
    "batch_size_of",
    "check_count",
    "drawn_classes",
    "factor",
    "known_labels",
    "labels_of",
    "latents",
    "scale",
    "seeds_of",
    "whole",
    "whole_numbers",
]


def latents(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """Standard normal noise (N, Z); row i depends on seed i only."""
    noise = torch.empty(len(seeds), latent_dim, dtype=torch.float32)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(seed))
    return noise


def drawn_classes(seeds: Sequence[int], num_classes: int) -> Tensor:
    """The default class (N,) of each seed, which does not depend on its latent."""
    return torch.tensor(class_numbers(seeds, num_classes), dtype=torch.long)


def labels_of(labels: Any, count: int) -> Tensor:
    """Convert labels to a tensor (N,); see `label_numbers`. Raises `UsageError`."""
    return torch.tensor(label_numbers(labels, count), dtype=torch.long)
