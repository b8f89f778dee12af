"""CRC-32 of files, kept in the cache with each file's size and times, so that an unchanged file is read once.

A table belongs to one folder. It is trusted for a file whose size, modification time and change time are
those in the table.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
import zlib
from collections.abc import Callable, Iterator, Sequence, Set
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, TypeVar

from gantl_zoo.data.cores import available_cores
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.cache import kept_in, plain

SETTLED = 2_000_000_000  # age in ns after which a modification time reliably detects changes
WORTH = 16 << 20  # bytes; a table is written if so much would be read again without it
AT_ONCE = 256  # files for each call in a thread
THREADS = 16  # for slow disks
CHUNK = 1 << 24  # bytes that are read at once where the size is unknown
FORMAT = 1

Result = TypeVar("Result")
Stamp = tuple[int, int, int]  # size, modification time and change time in ns
Table = dict[str, list[int]]  # by name: the stamp and the CRC-32

_tables: dict[str, Table] = {}  # by absolute path of the folder: a run lists its data repeatedly


def sums_of_files(folder: Path, names: Sequence[str]) -> dict[str, tuple[int, int]]:
    """CRC-32 and size of files in a folder; (0, 0) if one can't be read. Unchanged files are read once."""
    place = os.path.abspath(folder)
    table = _tables.get(place) or _load(place)
    known = [name for name in names if name in table]
    stamps = zip(known, _in_threads(lambda name: stamp(f"{place}/{name}"), known), strict=True)
    unchanged = {name for name, now in stamps if table[name][:3] == [*now]}
    unknown = [name for name in names if name not in unchanged]
    rows = zip(unknown, _in_threads(lambda name: _row(f"{place}/{name}"), unknown), strict=True)
    fresh = {name: row for name, row in rows if row is not None}
    now = time.time_ns()  # a file that changed just now may change again within the same time stamp
    settled = {name: row for name, row in fresh.items() if now - max(row[1:3]) > SETTLED}
    gone = set(unknown) - settled.keys()
    kept = {name: row for name, row in (table | settled).items() if name not in gone}
    _tables[place] = kept
    if sum(row[0] for row in settled.values()) >= WORTH:
        _save(place, kept, set(names))
    table = kept | fresh
    return {name: (table[name][3], table[name][0]) if name in table else (0, 0) for name in names}


def stamp(path: str) -> Stamp:
    """Size, modification time and change time of a file; zeros if it can't be read."""
    try:
        about = os.stat(path)
    except OSError:
        return 0, 0, 0
    return about.st_size, about.st_mtime_ns, about.st_ctime_ns


def content_of(path: str) -> tuple[bytes, Stamp]:
    """A file's content, and its stamp before. Raises `OSError`.

    It makes fewer system calls than Python's files do, which shows with many small files in several threads.
    """
    file = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    try:
        about = os.fstat(file)
        parts = [os.read(file, about.st_size + 1)]
        # one call reads at most 2 GB, and some file systems report a wrong size
        if len(parts[0]) != about.st_size:
            while more := os.read(file, CHUNK):
                parts.append(more)
    finally:
        os.close(file)
    return b"".join(parts), (about.st_size, about.st_mtime_ns, about.st_ctime_ns)


def _row(path: str) -> list[int] | None:
    """The stamp and the CRC-32 of a file; None if it can't be read."""
    try:
        content, now = content_of(path)
    except OSError:
        return None
    return [*now, zlib.crc32(content)]


def _in_threads(make: Callable[[str], Result], names: Sequence[str]) -> Iterator[Result]:
    """Yield `make(name)` for each name. Threads work on groups, since a call for each costs more than it.

    The first group shows what there is to wait for: files in the system's cache are read fastest by one
    thread for each core, those of a network drive by many.
    """
    groups = [names[at : at + AT_ONCE] for at in range(0, len(names), AT_ONCE)]
    if not groups:
        return
    clock, work = time.perf_counter(), time.thread_time()
    yield from [make(name) for name in groups[0]]
    slow = time.perf_counter() - clock > 3 * (time.thread_time() - work)
    cores = len(available_cores())
    with ThreadPoolExecutor(max(THREADS, cores) if slow else cores) as pool:
        for results in pool.map(lambda group: [make(name) for name in group], groups[1:]):
            yield from results


def _file(place: str) -> Path | None:
    """The file of a folder's table; None without a cache."""
    digest = hashlib.sha256(os.fsencode(place)).hexdigest()[:16]
    return (folder := kept_in("sums")) and folder / f"{plain(os.path.basename(place))}-{digest}.json"


def _load(place: str) -> Table:
    """The stored table of a folder; empty if there is none, or if it is damaged."""
    files = _stored(place)
    return {name: row for name, row in files.items() if _is_row(row)} if isinstance(files, dict) else {}


def _is_row(row: Any) -> bool:
    return isinstance(row, list) and len(row) == 4 and all(type(value) is int for value in row)


def _save(place: str, table: Table, seen: Set[str]) -> None:
    """Write a folder's table, without files that have gone; the files `seen` are there.

    A cache that can't be written only costs time.
    """
    there = {name: row for name, row in table.items() if name in seen or os.path.lexists(f"{place}/{name}")}
    _store(place, there)


def kept_json(path: str, unchanged: Stamp, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What `make()` reads of a file, JSON values, which are kept while the file's stamp is `unchanged`."""
    place = os.path.abspath(path)
    held = _stored(place)
    if isinstance(held, dict) and held.get("stamp") == [*unchanged] and isinstance(held.get("value"), dict):
        return dict(held["value"])
    value = make()
    if time.time_ns() - max(unchanged[1:]) > SETTLED and unchanged[0] >= WORTH:
        _store(place, {"stamp": unchanged, "value": value})
    return value


def _stored(place: str) -> Any:
    """What the cache has about a file or folder; None if there is nothing, or if it is damaged."""
    path = _file(place)
    try:
        held: Any = json.loads(path.read_bytes()) if path else {}
        return held["content"] if held["format"] == FORMAT and held["place"] == place else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _store(place: str, content: Any) -> None:
    path = _file(place)
    if path is None:
        return
    with contextlib.suppress(OSError), replace_file(path) as beside:
        held = {"format": FORMAT, "place": place, "content": content}
        beside.write_text(json.dumps(held), encoding="utf-8")
