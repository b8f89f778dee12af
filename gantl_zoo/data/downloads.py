"""What is wrong with the files of a data set that torchvision keeps: damaged, or one level too deep."""

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
REMEDY = "delete it, then it is fetched again"


def check_root(name: str, folder: str, root: Path) -> None:
    """Raises `DataError` where `root` lies in the set's own folder: nothing is to be fetched into that."""
    for inner in (root.absolute(), root.absolute().parent):
        held = any((inner / part).exists() for part in ("raw", "data_batch_1"))
        if inner.name == folder and held and not any(path.is_file() for path in (root / folder).rglob("*")):
            raise DataError(
                f"{root} is the folder of {name} itself: its parent has the set, --data-root {inner.parent}"
            )


def check_idx(folder: Path) -> None:
    """Raises `DataError` for the first damaged file of MNIST's format in a folder; absent ones are fetched.

    The format: two zero bytes, the type (8 for uint8), the number of axes, the length of each axis as four
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
                f"{folder} is damaged: of items, {shown}; delete both, then they are fetched again"
            )


def check_archives(folder: Path) -> None:
    """Raises `DataError` for the first archive in a folder that can't be unpacked."""
    for path in sorted(folder.glob("*.gz")):
        try:
            with gzip.open(path) as file:
                while file.read(1 << 20):
                    pass
        except (OSError, EOFError, zlib.error) as error:
            _refuse(path, f"{path.stat().st_size:,} bytes, {error}")


def check_sums(folder: Path, sums: list[tuple[str, str]]) -> None:
    """Raises `DataError` for the first file that does not have its MD5 sum; absent ones are fetched."""
    for name, md5 in sums:
        path = folder / name
        if path.is_file() and hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() != md5:
            _refuse(path, f"{path.stat().st_size:,} bytes, whose MD5 sum is not {md5}")


def sums_of(kind: Any, folder: str) -> list[tuple[str, str]]:
    """Names below the root and MD5 sums of files, as torchvision's class of CIFAR lists them."""
    rows = [*getattr(kind, "train_list", []), *getattr(kind, "test_list", [])]
    archive = [(kind.filename, kind.tgz_md5)] if hasattr(kind, "tgz_md5") else []
    return [(f"{folder}/{name}", md5) for name, md5 in rows] + archive


@contextmanager
def nothing_left(folder: Path) -> Iterator[None]:
    """On an error, the empty folders that were not there before are removed, up to the outermost."""
    new = [place for place in (folder, *folder.parents) if not place.exists()]
    try:
        yield
    except BaseException:
        for place in new:
            with contextlib.suppress(OSError):
                place.rmdir()
        raise


def _count(path: Path) -> int:
    """The items of an IDX file that is whole."""
    if not path.is_file():
        raise DataError(f"{path} is not a file: {REMEDY}")
    size = path.stat().st_size
    with open(path, "rb") as file:
        start = file.read(64)
    axes = 3 if "images" in path.name else 1
    header = 4 + 4 * axes
    if not start or start[:4] != bytes((0, 0, 8, axes))[: len(start)]:
        _refuse(path, f"{size:,} bytes; {kind_of(start) or 'it does not begin as the format does'}")
    if size < header:
        _refuse(path, f"{size:,} bytes, and its header alone has {header}")
    lengths = [int.from_bytes(start[at : at + 4], "big") for at in range(4, header, 4)]
    if size - header != math.prod(lengths):
        _refuse(path, f"{size - header:,} of {math.prod(lengths):,} bytes")
    return lengths[0]


def _refuse(path: Path, what: str) -> None:
    raise DataError(f"{path} is damaged ({what}): {REMEDY}")
