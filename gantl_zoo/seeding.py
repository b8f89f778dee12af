"""Chance as a function of seed and step, so that a resumed run draws what an unbroken one would have."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Chance from `seed` inside, the caller's own chance untouched afterwards."""
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
    """One number of 32 bits: torch's generator on a CPU looks at no bit above these."""
    return (seed * 0x9E3779B1 + rank * 0x85EBCA6B + step) % (1 << 32)  # odd: no two seeds begin alike


def seed_step(seed: int, step: int, rank: int = 0) -> None:
    """Seed every generator for one step of one process."""
    number = mixed(seed, step, rank)
    torch.manual_seed(number)
    random.seed(number)
    np.random.seed(number)


def order(count: int, *, batch: int, seed: int, start: int, steps: int) -> Iterator[Tensor]:
    """Indices (batch,) into `count` images for each step from `start` to `steps`.

    Every epoch is a shuffle of its own, and epochs join without a short batch between them. The indices
    depend on the seed and the step alone.
    """
    epoch, shuffled = -1, torch.empty(0, dtype=torch.long)
    for step in range(start, steps):
        wanted = torch.arange(step * batch, (step + 1) * batch)
        parts = []
        for number in range(int(wanted[0]) // count, int(wanted[-1]) // count + 1):
            if number != epoch:
                generator = torch.Generator().manual_seed(mixed(seed, number))
                epoch, shuffled = number, torch.randperm(count, generator=generator)
            parts.append(shuffled[wanted[wanted // count == number] % count])
        yield torch.cat(parts)
