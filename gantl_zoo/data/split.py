"""Which images are held out: by what the files hold, so that every way to the same images gives one split.

An image's id is the SHA-256 of its file's CRC-32 and size, which a zip lists and a folder's files are read
for. Copies of an image under other names have one id. A sketch of a set is its lowest ids (bottom-k sketch,
Beyer et al. 2007, https://doi.org/10.1145/1247480.1247504), small enough to be kept with a model.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import os
import time
import zipfile
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

if TYPE_CHECKING:
    from gantl_zoo.data.images import ImageData

HELD_OUT = 10  # one image in ten is the test split
ID_BYTES = 6  # of a hash are kept as an image's id
SKETCHED, SKETCH_BYTES = 1_000, 4  # ids in a sketch, at most, and bytes of each
SETTLED = 2_000_000_000  # ns since the last change, from which on a file's time tells the next one

_sums: dict[tuple[str, int, int], int] = {}  # CRC-32 by path, size and time: a run lists its data repeatedly


def hashes(source: Path, names: list[str]) -> dict[str, bytes]:
    """`{name: SHA-256}` over CRC-32 and size of each file in a folder or a zip."""
    return {
        name: hashlib.sha256(f"{crc:08x}-{size}".encode()).digest()
        for name, (crc, size) in _sizes(source, names).items()
    }


def ids_of(source: Path, names: list[str]) -> Tensor:
    """The images' ids, (N,) int64: the first bytes of their hashes."""
    hashed = hashes(source, names)
    return torch.tensor([int.from_bytes(hashed[name][:ID_BYTES], "big") for name in names])


def held_out(paths: dict[str, str], hashed: dict[str, bytes]) -> set[str]:
    """The names of the tenth of the images with the lowest hashes; copies of one image follow each other."""
    by_hash = sorted(paths, key=lambda name: (hashed[name], paths[name]))
    return set(by_hash[: len(by_hash) // HELD_OUT])


def held_out_by_path(names: list[str]) -> set[str]:
    """The tenth that runs held out before images were told apart by their content."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).hexdigest())
    return set(by_hash[: len(by_hash) // HELD_OUT])


def shared_folders(folders: list[tuple[str, ...]]) -> int:
    """How many folders, from the top, all paths have in common."""
    shared = 0
    while all(len(parts) > shared and parts[shared] == folders[0][shared] for parts in folders):
        shared += 1
    return shared


def sketch(ids: Tensor) -> str:
    """The at most 1,000 lowest ids, each cut to 4 bytes, sorted, in base64."""
    lowest = np.sort(ids.numpy())[:SKETCHED] >> 8 * (ID_BYTES - SKETCH_BYTES)
    return base64.b64encode(lowest.astype(">u4").tobytes()).decode()


def overlap(sketched: str, data: ImageData) -> int:
    """How many images of `data` are in a sketch; 0 where ids are unknown or the sketch is not a valid one."""
    if data.ids is None:
        return 0
    try:
        content = base64.b64decode(sketched, validate=True)
    except (binascii.Error, ValueError):
        return 0
    lowest = np.frombuffer(content[: len(content) // SKETCH_BYTES * SKETCH_BYTES], ">u4")
    return int(np.isin(data.ids.numpy() >> 8 * (ID_BYTES - SKETCH_BYTES), lowest).sum())


def _sizes(source: Path, names: list[str]) -> dict[str, tuple[int, int]]:
    """CRC-32 and size of each file; those of a zip are in its directory."""
    if source.is_file():
        with zipfile.ZipFile(source) as archive:
            entries = [archive.getinfo(name) for name in names]
        return {entry.filename: (entry.CRC, entry.file_size) for entry in entries}
    with ThreadPoolExecutor() as pool:
        return dict(zip(names, pool.map(lambda name: _sum(source / name), names), strict=True))


def _sum(path: Path) -> tuple[int, int]:
    """CRC-32 and size of a file, which is read once. (0, 0) if it can't be read, as decoding it will say."""
    try:
        about = path.stat()
        key = (os.path.abspath(path), about.st_size, about.st_mtime_ns)
        if (crc := _sums.get(key)) is None:
            crc = zlib.crc32(path.read_bytes())
            if time.time_ns() - about.st_mtime_ns > SETTLED:
                _sums[key] = crc
    except OSError:
        return 0, 0
    return crc, about.st_size
