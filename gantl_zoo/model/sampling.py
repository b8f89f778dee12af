"""Latents and classes as functions of a seed, and seeds as people write them."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError

# One chunk size for all: convolutions may round differently for another batch size, and the image of a
# seed must not depend on how many others were asked for.
CHUNK = 16


MOST_BYTES = 1 << 40
SEEDS = 1 << 32  # a generator of random numbers looks at no more bits


def latents(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """Standard normal noise (N, Z); row i depends on seed i alone."""
    noise = torch.empty(len(seeds), latent_dim, dtype=torch.float32)
    for row, seed in zip(noise, seeds, strict=True):
        row.normal_(generator=torch.Generator().manual_seed(seed))
    return noise


def drawn_classes(seeds: Sequence[int], num_classes: int) -> Tensor:
    """A class (N,) for each seed where nobody names one, whatever its latent."""
    digests = [hashlib.sha256(f"class of seed {seed}".encode()).digest() for seed in seeds]
    return torch.tensor([int.from_bytes(d[:8], "big") % num_classes for d in digests], dtype=torch.long)


def whole(name: str, value: Any) -> int:
    """A whole number of Python's, numpy's or torch's as Python's. Raises `UsageError` for any other value,
    also for booleans and floats.
    """
    try:
        if isinstance(value, bool) or getattr(value, "dtype", None) == torch.bool:
            raise TypeError
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{name} is a whole number, not {str(value)[:80]!r}") from None


def whole_numbers(name: str, values: Any) -> list[int]:
    """The numbers of a list, range, array, tensor or generator, each as `whole`. Raises `UsageError`."""
    shape = getattr(values, "shape", (0,))
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or len(shape) != 1:
        raise UsageError(f"{name}s are whole numbers in a row, such as [0, 1, 2], not {str(values)[:80]!r}")
    return [whole(f"a {name}", value) for value in values]


def check_count(count: int, image_shape: tuple[int, int, int]) -> None:
    """Raises `UsageError` for images that no memory holds."""
    if (size := 4 * count * math.prod(image_shape)) > MOST_BYTES:
        raise UsageError(f"{count:,} images take {size / 2**30:,.0f} GiB: generate fewer at a time")


def seeds_of(n: Any, seed: Any, seeds: Any) -> Sequence[int]:
    """The seeds of `n` images from `seed` on, or those in `seeds`; without any of them one of seed 0.

    Raises `UsageError`.
    """
    if seeds is not None and (n is not None or seed is not None):
        raise UsageError("generate takes n and seed, or seeds, and not both")
    if seeds is None:
        count, first = whole("n", 1 if n is None else n), whole("seed", 0 if seed is None else seed)
        if count < 0 or first < 0:
            raise UsageError(f"generate needs n and seed >= 0, not {count}, {first}")
        if first + count > SEEDS:
            raise UsageError(f"a seed is a number from 0 to {SEEDS - 1:,}, not {first + count - 1:,}")
        return range(first, first + count)
    found = whole_numbers("seed", seeds)
    if wrong := [number for number in found if not 0 <= number < SEEDS]:
        raise UsageError(f"a seed is a number from 0 to {SEEDS - 1:,}, not {wrong[0]}")
    return found


def labels_of(labels: Any, count: int) -> Tensor:
    """The classes (N,) of `count` images: one number for all, or a list, array or tensor of them.

    Raises `UsageError`.
    """
    if isinstance(labels, Iterable) and len(getattr(labels, "shape", (0,))):
        return torch.tensor(whole_numbers("label", labels), dtype=torch.long)
    return torch.full((count,), whole("a label", labels), dtype=torch.long)


def scale(value: Any) -> float:
    """A truncation, a finite number above 0, as a float. Raises `UsageError`."""
    found = _finite(value)
    if found is None or found <= 0:
        raise UsageError(f"generate needs a number truncation > 0, not {str(value)[:80]!r}")
    return found


def factor(name: str, value: Any) -> float:
    """A finite number as a float. Raises `UsageError`."""
    found = _finite(value)
    if found is None:
        raise UsageError(f"{name} must be a finite number, not {str(value)[:80]!r}")
    return found


def _finite(value: Any) -> float | None:
    try:
        found = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return found if math.isfinite(found) else None
