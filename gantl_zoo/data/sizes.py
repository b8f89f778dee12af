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
    found = []
    for name in names[:: max(1, len(names) // READ)][:READ]:
        try:
            with quiet():
                found.append(size_of(read(name)))
        except Exception:  # of Pillow, zipfile or zlib: decoding reports it
            continue
    return found


def common_size(source: Path, largest: int) -> int | None:
    """A size for images that are larger than `largest` or of different sizes; None for all others.

    It is the median of the shorter sides, rounded down to a multiple of 32, and at most `largest`.
    """
    found = sizes(source)
    shorter = [min(size) for size in found]
    if not found or (len(set(found)) == 1 and found[0][0] == found[0][1] <= largest):
        return None
    return min(largest, max(MULTIPLE, int(median(shorter)) // MULTIPLE * MULTIPLE))
