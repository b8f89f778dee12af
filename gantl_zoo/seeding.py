"""Random numbers as a function of seed and step: a resumed run draws the same as an uninterrupted one."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Seed all generators inside the block, and restore the caller's states afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    others = random.getstate(), np.random.get_state()
    try:
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)
            yield
    finally:
        random.setstate(others[0])
        np.random.set_state(others[1])


def mixed(seed: int, step: int, rank: int = 0) -> int:
    """Mix seed, step and rank into 32 bits: torch's CPU generator ignores all higher bits."""
    return (seed * 0x9E3779B1 + rank * 0x85EBCA6B + step) % (
        1 << 32
    )  # odd factors: distinct seeds stay distinct


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed Python's, NumPy's and torch's generators for one step of one process."""
    number = mixed(seed, step, rank)
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def order(count: int, *, batch: int, seed: int, start: int, steps: int) -> Iterator[Tensor]:
    """Yield indices (batch,) into `count` images for each step from `start` up to `steps`.

    Each epoch is shuffled anew. Batches run across the end of an epoch, so none is short. The indices depend
    only on the seed and the step.
    """
    epoch, shuffled = -1, torch.empty(0, dtype=torch.long)
    for step in range(start, steps):
        positions = torch.arange(step * batch, (step + 1) * batch)
        parts = []
        for number in range(int(positions[0]) // count, int(positions[-1]) // count + 1):
            if number != epoch:
                generator = torch.Generator().manual_seed(mixed(seed, number))
                epoch, shuffled = number, torch.randperm(count, generator=generator)
            parts.append(shuffled[positions[positions // count == number] % count])
        yield torch.cat(parts)
