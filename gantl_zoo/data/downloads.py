"""Find damaged and misplaced files in the folders of torchvision's data sets."""

from __future__ import annotations

import contextlib
import gzip
import hashlib
import math
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gantl_zoo.data.damage import kind_of
from gantl_zoo.errors import DataError

IDX_FILES = tuple(
    f"{part}-{kind}-ubyte" for part in ("train", "t10k") for kind in ("images-idx3", "labels-idx1")
)
REMEDY = "delete it, and it will be downloaded again"


def check_root(name: str, folder: str, root: Path) -> None:
    """Raise `DataError` if `root` is the data set's own folder, before it is downloaded into it again."""
    for inner in (root.absolute(), root.absolute().parent):
        held = any((inner / part).exists() for part in ("raw", "data_batch_1"))
        if inner.name == folder and held and not any(path.is_file() for path in (root / folder).rglob("*")):
            raise DataError(
                f"{root} is the folder of {name} itself; give its parent instead: --data-root {inner.parent}"
            )


def check_idx(folder: Path) -> None:
    """Raise `DataError` for the first damaged file in MNIST's format in a folder; files may be missing.

    The format is: two zero bytes, the type (8 for uint8), the number of axes, the length of each axis as four
    bytes, big-endian, and the values.
    """
    counts = {}
    for path in (folder / name for name in IDX_FILES):
        if path.exists():
            counts[path.name.partition("-")[0], path] = _count(path)
    for part in ("train", "t10k"):
        of_part = {path: count for (kind, path), count in counts.items() if kind == part}
        if len(set(of_part.values())) > 1:
            shown = " and ".join(f"{path.name} {count:,}" for path, count in of_part.items())
            raise DataError(
                f"{folder} is damaged: different numbers of items ({shown}); delete both files, and they "
                "will be downloaded again"
            )


def check_archives(folder: Path) -> None:
    """Raise `DataError` for the first archive in a folder that can't be unpacked."""
    for path in sorted(folder.glob("*.gz")):
        try:
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            _refuse(path, f"{path.stat().st_size:,} bytes, {error}")


def check_sums(folder: Path, sums: list[tuple[str, str]]) -> None:
    """Raise `DataError` for the first file whose MD5 sum is wrong; files may be missing."""
    for name, md5 in sums:
        path = folder / name
        if path.is_file() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            _refuse(path, f"{path.stat().st_size:,} bytes, whose MD5 sum is not {md5}")


def sums_of(kind: Any, folder: str) -> list[tuple[str, str]]:
    """Paths below the root and MD5 sums of the files that a torchvision class lists, as CIFAR's does."""
    rows = [*getattr(kind, "train_list", []), *getattr(kind, "test_list", [])]
    archive = [(kind.filename, kind.tgz_md5)] if hasattr(kind, "tgz_md5") else []
    return [(f"{folder}/{name}", md5) for name, md5 in rows] + archive


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """Remove new empty folders, from `folder` up to the outermost, if the block raises."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        for place in new:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise


def _count(path: Path) -> int:
    """The number of items in an IDX file. Raises `DataError` if it is incomplete."""
    if not path.is_file():
        raise DataError(f"{path} is not a file: {REMEDY}")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(64)
    axes = 3 if "images" in path.name else 1
    header = 4 + 4 * axes
    if not start or start[:4] != bytes((0, 0, 8, axes))[: len(start)]:
        _refuse(
            path, f"{size:,} bytes; {kind_of(start) or 'it does not begin with the header of the IDX format'}"
        )
    if size < header:
        _refuse(path, f"{size:,} bytes, fewer than the {header} of its header")
    lengths = [int.from_bytes(start[at : at + 4], "big") for at in range(4, header, 4)]
    if size - header != math.prod(lengths):
        _refuse(path, f"{size - header:,} of {math.prod(lengths):,} bytes")
    return lengths[0]


def _refuse(path: Path, what: str) -> None:
    raise DataError(f"{path} is damaged ({what}): {REMEDY}")
