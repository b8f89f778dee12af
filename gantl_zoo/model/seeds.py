"""Seeds, classes and truncations as users pass them, checked. No torch."""

from __future__ import annotations

import hashlib
import math
import operator
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from gantl_zoo.errors import UsageError

# A fixed batch size: convolutions may round differently for another one, and the image of a seed must not
# depend on how many others are generated with it.
CHUNK = 16
STREAMED = 16 * CHUNK  # images of a part of a stream
MOST_BYTES = 1 << 40
MOST_SEEDS = 100_000  # of a text
BOOLS = ("bool", "torch.bool")  # dtypes
SEEDS = 1 << 32  # torch's CPU generator ignores higher bits


def class_numbers(seeds: Iterable[int], num_classes: int) -> list[int]:
    """The default class of each seed, which does not depend on its latent."""
    digests = [hashlib.sha256(f"class of seed {seed}".encode()).digest() for seed in seeds]
    return [int.from_bytes(d[:8], "big") % num_classes for d in digests]


def whole(name: str, value: Any) -> int:
    """Convert an integer of Python, NumPy or torch to an int. Raises `UsageError` for any other value, also
    for booleans and floats.
    """
    try:
        if isinstance(value, bool) or str(getattr(value, "dtype", "")) in BOOLS:
            raise TypeError
        return operator.index(value)
    except (TypeError, ValueError, RuntimeError):
        raise UsageError(f"{name} must be a whole number, not {str(value)[:80]!r}") from None


def whole_numbers(name: str, values: Any) -> list[int]:
    """Convert a list, range, array, tensor or iterator of integers to ints. Raises `UsageError`."""
    shape = getattr(values, "shape", (0,))
    if isinstance(values, (str, bytes, Mapping)) or not isinstance(values, Iterable) or len(shape) != 1:
        raise UsageError(
            f"{name}s must be a list of whole numbers, such as [0, 1, 2], not {str(values)[:80]!r}"
        )
    return [whole(f"a {name}", value) for value in values]


def check_count(count: int, image_shape: tuple[int, int, int]) -> None:
    """Raise `UsageError` for more images than fit into any memory."""
    if (size := 4 * count * math.prod(image_shape)) > MOST_BYTES:
        raise UsageError(f"{count:,} images take {size / 2**30:,.0f} GiB: generate fewer at a time")


def seeds_of(n: Any, seed: Any, seeds: Any) -> Sequence[int]:
    """The seeds `seed`, `seed` + 1, … of `n` images, or those in `seeds`; by default only seed 0.

    Raises `UsageError`.
    """
    if seeds is not None and (n is not None or seed is not None):
        raise UsageError("generate takes n and seed, or seeds, but not both")
    if seeds is None:
        count, first = whole("n", 1 if n is None else n), whole("seed", 0 if seed is None else seed)
        if count < 0 or first < 0:
            raise UsageError(f"generate needs n and seed >= 0, not {count}, {first}")
        if first + count > SEEDS:
            raise UsageError(f"a seed must be from 0 to {SEEDS - 1:,}, not {first + count - 1:,}")
        return range(first, first + count)
    numbers = whole_numbers("seed", seeds)
    if wrong := [number for number in numbers if not 0 <= number < SEEDS]:
        raise UsageError(f"a seed must be from 0 to {SEEDS - 1:,}, not {wrong[0]}")
    return numbers


def seeds_in(text: str, option: str, most: int = MOST_SEEDS) -> list[int]:
    """`0-15,40` as at most `most` numbers.

    Raises `UsageError` for an empty, reversed or unreadable range.
    """
    seeds: list[int] = []
    for part in text.split(","):
        first, dash, last = part.strip().partition("-")
        if not first.isdecimal() or (dash and not last.isdecimal()):
            raise UsageError(
                f"{option} {text[:80]!r}: {part[:80]!r} is not a valid seed; write numbers and "
                "ranges, such as 0-15,40"
            )
        if dash and int(last) < int(first):
            raise UsageError(f"{option} {text[:80]!r}: the range {part} runs backwards; write {last}-{first}")
        count = len(seeds) + int(last or first) - int(first) + 1
        if count > most or int(last or first) >= 1 << 32:
            raise UsageError(f"{option} {text[:80]!r}: at most {most:,} at once, each below 2³²")
        seeds += range(int(first), int(last or first) + 1)
    return seeds


def label_numbers(labels: Any, count: int) -> list[int]:
    """Convert labels to a list: one label for all `count` images, or a list, array or tensor.

    Raises `UsageError`.
    """
    if isinstance(labels, Iterable) and len(getattr(labels, "shape", (0,))):
        return whole_numbers("label", labels)
    return [whole("a label", labels)] * count


def known_labels(name: str, classes: Sequence[str], labels: Any, count: int) -> list[int] | None:
    """The labels of `count` images of the model `name`, which has these `classes`; None if it has none.

    Raises `UsageError`.
    """
    if not classes:
        if labels is not None:
            raise UsageError(f"{name} is unconditional, so it takes no labels")
        return None
    numbers = None if labels is None else label_numbers(labels, count)
    numbered = [one if one.startswith(str(i)) else f"{i} {one}" for i, one in enumerate(classes)]
    there = f"{name} has the {len(classes)} classes {', '.join(numbered[:12])}"
    there += ", …" if len(numbered) > 12 else ""
    if numbers is None or len(numbers) != count:
        given = "none" if numbers is None else f"labels of shape {(len(numbers),)}"
        raise UsageError(f"{there}; {count} image(s) need as many labels, not {given}")
    if wrong := [label for label in numbers if not 0 <= label < len(classes)]:
        raise UsageError(f"{there}; there is no class {wrong[0]}")
    return numbers


def parts_of(seeds: Sequence[int], labels: Any, size: int = STREAMED) -> Iterator[tuple[Sequence[int], Any]]:
    """The seeds in parts of `size`, each with its labels: None, one label for all, or a list of as many.

    Raises `UsageError` if there are labels for some of the images only.
    """
    many = isinstance(labels, Iterable) and len(getattr(labels, "shape", (0,)))
    chosen = label_numbers(labels, len(seeds)) if many else labels
    if many and len(chosen) != len(seeds):
        raise UsageError(f"{len(seeds)} image(s) need as many labels, not {len(chosen)}")
    for start in range(0, len(seeds), size):
        yield seeds[start : start + size], chosen[start : start + size] if many else chosen


def batch_size_of(value: Any) -> int:
    """The number of images that are computed at once; None means `CHUNK`. Raises `UsageError`."""
    size = CHUNK if value is None else whole("batch_size", value)
    if size < 1:
        raise UsageError(f"batch_size must be at least 1, not {size}")
    return size


def scale(value: Any, *, inner: bool = False) -> float:
    """Convert a truncation to a float. Raises `UsageError` unless it is finite.

    `inner`: it acts in an intermediate latent space, about its mean, so it may be 0 or below. Elsewhere it
    scales the noise: it must be positive, because noise of length 0 is unlike any in training.
    """
    number = _finite(value)
    if number is None or (number <= 0 and not inner):
        limit = "" if inner else " > 0, since it scales the noise of a network without a space W"
        raise UsageError(f"truncation must be a finite number{limit}, not {str(value)[:80]!r}")
    return number


def factor(name: str, value: Any) -> float:
    """Convert a finite number to a float. Raises `UsageError` for other values."""
    number = _finite(value)
    if number is None:
        raise UsageError(f"{name} must be a finite number, not {str(value)[:80]!r}")
    return number


def _finite(value: Any) -> float | None:
    try:
        number = math.nan if isinstance(value, (bool, str, bytes)) else float(value)
    except (TypeError, ValueError, RuntimeError, OverflowError):
        return None
    return number if math.isfinite(number) else None
