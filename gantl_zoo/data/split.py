"""Hold out test images: those whose hash lies in the lowest tenth of all possible hashes.

An image's hash is the SHA-256 of its file's CRC-32 and size. A zip lists both; the files of a folder are read
once. So the split of an image depends only on the content of its file, not on its name, its folder or other
images. In a data set of a few dozen images too few or too many may lie below the threshold; then the rank
decides (`held_out`).

An image's id is the first bytes of its hash. A sketch of a data set is its lowest ids (bottom-k sketch,
Beyer et al. 2007, https://doi.org/10.1145/1247480.1247504), small enough to be stored with a model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
from collections.abc import Iterable, Mapping
from itertools import groupby
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.data.places import archive_of

HELD_OUT = 10  # about one image in ten is the test split
FEWEST, MOST = 20, 5  # at least one image in twenty, at most one in five
SMALLEST_CLASS = 5  # images of a class of which one is held out
HASHES = 1 << 256  # possible values of SHA-256
ID_BYTES = 6  # of a hash are an image's id
SKETCHED, SKETCH_BYTES = 1_000, 4  # ids in a sketch, at most, and bytes of each


def hashes(source: Path, names: list[str]) -> dict[str, bytes]:
    """`{name: hash}` of files in a folder or a zip: the SHA-256 of their CRC-32 and size."""
    return {name: hash_of(*both) for name, both in archive_of(source).sums(names).items()}


def hash_of(crc: int, size: int) -> bytes:
    """The hash of a file with this CRC-32 and size."""
    return hashlib.sha256(f"{crc:08x}-{size}".encode()).digest()


def ids_of(hashed: Iterable[bytes]) -> Tensor:
    """The images' ids, (N,) int64: the first bytes of their hashes."""
    return torch.tensor([int.from_bytes(one[:ID_BYTES], "big") for one in hashed])


def held_out(paths: dict[str, str], hashed: dict[str, bytes]) -> set[str]:
    """The names of the images whose hash lies in the lowest tenth of all possible hashes.

    If these are fewer than one in twenty, the lowest tenth of the images; if more than one in five, the
    lowest fifth. Of fewer than ten images none is held out. Copies of an image have the same hash and stay on
    one side, unless all images are copies.
    """
    by_hash = sorted(paths, key=lambda name: (hashed[name], paths[name]))
    if (count := len(by_hash)) < HELD_OUT:
        return set()
    below = [name for name in by_hash if int.from_bytes(hashed[name], "big") * HELD_OUT < HASHES]
    if max(1, count // FEWEST) <= len(below) <= count // MOST:
        return set(below)
    few = _lowest(below, hashed, count // MOST) if len(below) > count // MOST else set()
    few = few or _lowest(by_hash, hashed, count // HELD_OUT)
    if not few:  # each image has many copies
        first = [name for name in by_hash if hashed[name] == hashed[by_hash[0]]]
        few = set(first if len(first) < count else first[: count // HELD_OUT])
    return few


def held_out_per_class(
    labels: Mapping[str, str], paths: dict[str, str], hashed: dict[str, bytes]
) -> set[str]:
    """The names that `held_out` selects within each class, so that every class is measured.

    Of a class of five to nine images one is held out, the one with the lowest hash; of a smaller one none. In
    large classes the result is that of `held_out`.
    """
    classes: dict[str, dict[str, str]] = {}
    for name, path in paths.items():
        classes.setdefault(labels[name], {})[name] = path
    chosen: set[str] = set()
    for members in classes.values():
        few = held_out(members, hashed)
        if not few and len(members) >= SMALLEST_CLASS:
            few = {min(members, key=lambda name: (hashed[name], paths[name]))}
        chosen |= few
    return chosen


def _lowest(by_hash: list[str], hashed: dict[str, bytes], most: int) -> set[str]:
    """Up to `most` images with the lowest hashes; groups of copies that don't fit are skipped."""
    chosen: set[str] = set()
    for _, group in groupby(by_hash, key=lambda name: hashed[name]):
        copies = set(group)
        if len(chosen) + len(copies) <= most:
            chosen |= copies
    return chosen


def held_out_by_path(names: list[str]) -> set[str]:
    """A tenth of the images by the hash of their paths, for runs from before the split by content."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).hexdigest())
    return set(by_hash[: len(by_hash) // HELD_OUT])


def shared_folders(folders: list[tuple[str, ...]]) -> int:
    """The number of folders, from the top, that all paths have in common."""
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    return shared


def sketch(ids: Tensor) -> str:
    """The 1,000 lowest ids, or fewer, each cut to 4 bytes, sorted, in base64."""
    lowest = np.sort(ids.numpy())[:SKETCHED] >> 8 * (ID_BYTES - SKETCH_BYTES)
    return base64.b64encode(lowest.astype(">u4").tobytes()).decode()


def overlap(sketched: str, ids: Tensor) -> int:
    """The number of `ids` (N,) in a sketch; 0 if the sketch is not valid."""
    try:
        content = base64.b64decode(sketched, validate=True)
    except (binascii.Error, ValueError):
        return 0
    lowest = np.frombuffer(content[: len(content) // SKETCH_BYTES * SKETCH_BYTES], ">u4")
    return int(np.isin(ids.numpy() >> 8 * (ID_BYTES - SKETCH_BYTES), lowest).sum())
