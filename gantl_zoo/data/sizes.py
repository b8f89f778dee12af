"""The sizes of the images in a folder or a zip, from the headers of some of its files."""

from __future__ import annotations

from pathlib import Path
from statistics import median

from gantl_zoo.data.decode import quiet, size_of
from gantl_zoo.data.files import reader
from gantl_zoo.data.names import image_files

READ = 50  # files, at most
MULTIPLE = 32  # a chosen size is a multiple of it


def sizes(source: Path) -> list[tuple[int, int]]:
    """Width and height of up to 50 readable images, spread over the source. Raises `DataError`."""
    images, _ = image_files(source, warned=False)
    names, read = list(images), reader(source)
    pairs = []
    for name in names[:: max(1, len(names) // READ)][:READ]:
        try:
            with quiet():
                pairs.append(size_of(read(name)))
        except Exception:  # of Pillow, zipfile or zlib: decoding reports it
            continue
    return pairs


def common_size(source: Path, largest: int) -> int | None:
    """A size for images that are larger than `largest` or of different sizes; None for all others.

    It is the median of the shorter sides, rounded down to a multiple of 32, and at most `largest`.
    """
    every = sizes(source)
    shorter = [min(size) for size in every]
    if not every or (len(set(every)) == 1 and every[0][0] == every[0][1] <= largest):
        return None
    return min(largest, max(MULTIPLE, int(median(shorter)) // MULTIPLE * MULTIPLE))
