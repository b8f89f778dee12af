"""Decode all files of a source once: which can be read, their sizes, and where the pixels go."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import TypeVar

from gantl_zoo.console import warn
from gantl_zoo.data.cores import available_cores
from gantl_zoo.data.decode import Decoded, Pixels, quiet, size_of
from gantl_zoo.data.memory import memory_limit
from gantl_zoo.errors import DataError

Result = TypeVar("Result")
CHUNK = 256  # decoded images in memory, at most
AHEAD = 2  # parts that wait for each thread: large ones are read with fewer interruptions
CORRUPT_LIMIT = 0.05  # a larger share of unreadable images is an error
DARK = 64  # 16-bit images whose upper bytes are all below this probably hold fewer bits


@dataclass
class Decoding:
    """The result of decoding all files. Lists have one entry for each image that can be read.

    `kept` are the names of these images, `corrupt` the names of the others, with the reasons. `reduced` says
    whether any image was decoded at a reduced scale. `unsure` is an error that need not occur again.
    """

    kept: list[str] = field(default_factory=list)
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    transparent: list[bool] = field(default_factory=list)
    corrupt: dict[str, str] = field(default_factory=dict)
    deep: bool = True  # whether every image has 16 bits a channel
    brightest: int = 0
    reduced: bool = False
    unsure: OSError | None = None

    def add(self, name: str, decoded: Decoded) -> None:
        """Note what is to be known about an image."""
        self.kept.append(name)
        self.sizes.append(decoded.size)
        self.transparent.append(decoded.transparent)
        self.shapes.add(decoded.pixels.shape)
        self.reduced = self.reduced or decoded.reduced
        self.deep = self.deep and decoded.deep
        if self.deep:
            self.brightest = max(self.brightest, int(decoded.pixels.max()))

    def too_many_corrupt(self) -> bool:
        """Whether more images than `CORRUPT_LIMIT` can't be read."""
        count = len(self.kept) + len(self.corrupt)
        return len(self.corrupt) > max(1, CORRUPT_LIMIT * count) or len(self.corrupt) == count

    def refused(self) -> bool:
        """Whether `check` or `shape` raises."""
        return self.too_many_corrupt() or len({shape[1:] for shape in self.shapes}) > 1

    def check(self, source: Path) -> None:
        """Warn about unreadable and nearly black images. Raises `DataError` for too many unreadable ones."""
        if corrupt := [f"{name} ({reason})" for name, reason in self.corrupt.items()]:
            shown = ", ".join(corrupt[:3]) + (f" and {len(corrupt) - 3} more" if len(corrupt) > 3 else "")
            count = len(self.kept) + len(corrupt)
            text = f"{source}: {len(corrupt)} of {count} images can't be read: {shown}"
            if self.too_many_corrupt():
                raise DataError(f"{text}; more than {CORRUPT_LIMIT:.0%} is too many: repair or remove them")
            warn(f"{text}; left out")
        if self.deep and self.brightest < DARK:
            warn(
                f"{source}: no image uses more than {self.brightest / 255:.0%} of the 16-bit range, so all "
                "look nearly black; scale their values up"
            )

    def shape(self, source: Path) -> tuple[int, int, int]:
        """The shape (C, H, W) of all images, RGB if any is. Raises `DataError` for different sizes."""
        sizes = sorted({shape[1:] for shape in self.shapes})
        if len(sizes) > 1:
            shown = ", ".join(f"{width}×{height}" for height, width in sizes[:4]) + ", …" * (len(sizes) > 4)
            raise DataError(f"{source}: images of different sizes ({shown}); choose one with --image-size")
        ((height, width),) = sizes
        return max(shape[0] for shape in self.shapes), height, width


def decode_all(
    read: Callable[[str], bytes],
    names: list[str],
    make: Callable[[bytes], Decoded],
    one: int,
    sink: Callable[[Pixels], object],
) -> Decoding:
    """Decode all images, and give the pixels of each to `sink`. `one` is the approximate size of an image."""
    decoding = Decoding()
    for name, decoded in each(read, names, make, one):
        if isinstance(decoded, Exception):
            decoding.corrupt[name] = str(decoded)
            continue
        decoding.add(name, decoded)
        sink(decoded.pixels)
    return decoding


def each(
    read: Callable[[str], bytes], names: list[str], make: Callable[[bytes], Result], one: int
) -> Iterator[tuple[str, Result | Exception]]:
    """Yield each name with `make` of its content, or with the error. Threads read some files ahead.

    Warnings are suppressed until the iterator ends, also in the code that reads from it.
    """

    def attempt(name: str) -> Result | Exception:
        try:
            return make(read(name))
        except Exception as error:  # damaged files make Pillow, zipfile and zlib raise anything
            return error

    def attempts(part: list[str]) -> list[Result | Exception]:
        return [attempt(name) for name in part]

    threads = len(available_cores())
    step = min(CHUNK, max(8, memory_limit() // max(1, one)))  # images in memory
    ahead = min(AHEAD * threads, step - 1)  # parts, besides the one that is yielded
    size = step // (ahead + 1)
    parts = (names[start : start + size] for start in range(0, len(names), size))
    with quiet():
        pool = ThreadPoolExecutor(threads)
        try:
            waiting = deque((part, pool.submit(attempts, part)) for part in islice(parts, ahead))
            while waiting:
                part, future = waiting.popleft()
                results = future.result()
                waiting.extend((later, pool.submit(attempts, later)) for later in islice(parts, 1))
                yield from zip(part, results, strict=True)
        finally:
            pool.shutdown(cancel_futures=True)


def bytes_of_one(read: Callable[[str], bytes], names: list[str], image_size: int | None) -> int:
    """Bytes of an RGB image of `image_size`, or else of the first readable image's size."""
    if image_size is not None:
        return 3 * image_size**2
    for name in names:
        try:
            with quiet():
                width, height = size_of(read(name))
        except Exception:  # of Pillow, zipfile or zlib: decoding reports it
            continue
        return 3 * width * height
    return 0
