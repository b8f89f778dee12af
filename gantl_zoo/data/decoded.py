"""Keep the decoded images of a source that is streamed, so that its files are decoded once.

The cache (`GANTL_ZOO_CACHE`) has one file for each set of images at one size, found by a hash of the files'
content. `GANTL_ZOO_CACHE_LIMIT` limits their bytes together; the default is half of what the disk could give
them. The files that were used least recently make room for a new one.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from gantl_zoo.console import say, warn
from gantl_zoo.data.decode import Pixels, decoder
from gantl_zoo.data.decoding import Decoding
from gantl_zoo.data.rows import DamagedRows, Rows, Writer, table_of
from gantl_zoo.errors import DataError, UsageError, ZooError
from gantl_zoo.storage import kept
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.cache import kept_in, plain

Sink = Callable[[Pixels], object]
VERSION = 1  # increase it when the pixels of the same files change
SPARE = 1 << 28  # bytes of the disk that always stay free
PATIENCE = 1.0  # seconds after which a process says that it waits for another one


@dataclass(frozen=True)
class Request:
    """A set of images: the files `names` of `source`, with the hashes of their content, made squares of
    `image_size` as `fit` says. All of them need about `size` bytes.
    """

    source: Path
    names: Sequence[str]
    hashed: Sequence[bytes]
    image_size: int | None
    fit: str
    size: int

    @property
    def key(self) -> str:
        """A hash of the content of all files, and of how they become pixels."""
        how = (VERSION, decoder(), len(self.names), self.image_size, self.fit)
        digest = hashlib.sha256(repr(how).encode())
        digest.update(b"".join(self.hashed))
        return digest.hexdigest()[:20]

    def path(self, folder: Path) -> Path:
        """The file of these images, whatever the source was called when it was written."""
        for path in folder.glob(f"*-{self.key}.images"):
            return path
        size = f"{self.image_size}px" if self.image_size else "own-size"
        return folder / f"{plain(self.source.absolute().name)}-{size}-{self.key}.images"


def decoded(request: Request, decode: Callable[[Sink], Decoding]) -> tuple[Decoding, Rows | None]:
    """What is known about the images, and the images; `decode(sink)` reads them at first use.

    Rows are None without a cache, and if the cache has no room or can't be written, which a warning says. If
    several processes want the same images, one decodes and the others wait.
    """
    from filelock import FileLock, Timeout

    folder = kept_in("images")
    if folder is None:
        return decode(lambda pixels: None), None
    path = request.path(folder)
    if ready := opened(request, path):
        return ready
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = FileLock(path.with_name(f"{path.name}.lock"))
        try:
            lock.acquire(timeout=PATIENCE)
        except Timeout:
            say(f"{request.source}: another process decodes these images; waiting for it")
            lock.acquire()
    except OSError as error:
        return _without(request, f"{folder} can't be written ({error.strerror or error})", decode)
    try:
        return opened(request, path) or _written(request, path, decode)
    finally:
        lock.release()


def opened(request: Request, path: Path) -> tuple[Decoding, Rows] | None:
    """The content of the file at `path`; None if it is missing, damaged or of other images."""
    try:
        facts, arrays = table_of(path)
        kept_at, corrupt = arrays["kept"].tolist(), facts["corrupt"]
        decoding = Decoding(
            kept=[request.names[i] for i in kept_at],
            shapes={tuple(shape) for shape in facts["shapes"]},
            sizes=list(map(tuple, arrays["sizes"].tolist())),
            transparent=arrays["transparent"].tolist(),
            corrupt={request.names[i]: reason for i, reason in corrupt},
            deep=facts["deep"],
            brightest=facts["brightest"],
            reduced=facts["reduced"],
        )
        lengths = arrays["lengths"]
        rows = Rows(path, np.cumsum(lengths) - lengths, lengths, decoding.shape(request.source))
    except FileNotFoundError:
        return None
    except DamagedRows as error:
        warn(f"{error}; the images are decoded again")
        return None
    except (OSError, KeyError, TypeError, ValueError, IndexError, DataError):
        return None
    kept.touch(path)
    return decoding, rows


def _written(
    request: Request, path: Path, decode: Callable[[Sink], Decoding]
) -> tuple[Decoding, Rows | None]:
    """Decode the images and write them to `path`. If the disk is full, decoding goes on without it."""
    if reason := make_room(path, request.size):
        return _without(request, reason, decode)
    result: list[Decoding] = []
    try:
        with replace_file(path) as beside, open(beside, "wb", buffering=1 << 20) as file:
            writer = Writer(file)
            sink = Cautious(writer, request.size)
            result.append(decode(sink))
            if result[0].refused():
                raise Unusable
            if error := sink.error or result[0].unsure:
                raise error
            writer.finish(*_facts(request, result[0]))
    except Unusable:
        pass
    except OSError as error:
        reason = f"{path.parent} can't be written ({error.strerror or error})"
        if result and error is result[0].unsure:
            reason = f"they may change ({error})"
        if not result:
            return _without(request, reason, decode)
        _tell(request, reason)
    ready = opened(request, path) if path.exists() else None
    return ready or (result[0], None)


class Unusable(ZooError):
    """The images are refused, so that they are not kept."""


class Cautious:
    """A sink that remembers an error of the disk, and writes nothing after it.

    It then gives the space back at once, and it never uses more than `most` bytes.
    """

    def __init__(self, writer: Writer, most: int) -> None:
        self.writer, self.left = writer, most
        self.error: OSError | None = None

    def __call__(self, pixels: Pixels) -> None:
        if self.error is not None:
            return
        try:
            self.left -= pixels.nbytes
            if self.left < 0:
                raise OSError("the images are larger than the first one")
            self.writer.add(pixels)
        except OSError as error:
            self.error = error
            with contextlib.suppress(OSError):
                os.ftruncate(self.writer.file.fileno(), 0)


def _facts(request: Request, decoding: Decoding) -> tuple[dict[str, object], dict[str, object]]:
    """The table of a file: JSON values and arrays. Files are stored by number, since names may change."""
    number = {name: i for i, name in enumerate(request.names)}
    about = {
        "source": str(request.source),
        "corrupt": [[number[name], reason] for name, reason in decoding.corrupt.items()],
        "shapes": sorted(map(list, decoding.shapes)),
        "deep": decoding.deep,
        "brightest": decoding.brightest,
        "reduced": decoding.reduced,
    }
    arrays = {
        "kept": np.array([number[name] for name in decoding.kept], np.int64),
        "sizes": np.array(decoding.sizes, np.int32).reshape(-1, 2),
        "transparent": np.array(decoding.transparent, bool),
    }
    return about, arrays


def _without(request: Request, reason: str, decode: Callable[[Sink], Decoding]) -> tuple[Decoding, None]:
    _tell(request, reason)
    return decode(lambda pixels: None), None


def _tell(request: Request, reason: str) -> None:
    warn(f"{request.source}: decoded images are not kept: {reason}; each epoch decodes them again")


def make_room(path: Path, needed: int) -> str:
    """Remove the images that were used least recently until `needed` bytes fit. If they can't, the reason."""
    others = [entry for entry in kept.entries(["images"]) if entry.path != path]
    used = sum(entry.size for entry in others)
    free = shutil.disk_usage(path.parent).free - SPARE
    limit = cache_limit(free + used)
    if needed > (most := min(limit, free + used)):
        return f"they need {needed / 1e9:,.1f} GB, and the cache may hold {max(0, most) / 1e9:,.1f} GB"
    while others and (used + needed > limit or needed > free):
        oldest = others.pop()  # the last used is first
        try:
            kept.remove(oldest)
        except UsageError as error:  # of another user, or on Windows in use
            return str(error)
        say(f"{oldest.path.name} was removed from the cache to make room")
        used, free = used - oldest.size, free + oldest.size
    return ""


def cache_limit(available: int) -> int:
    """Bytes that all decoded images may need: GANTL_ZOO_CACHE_LIMIT, or half of those `available`."""
    setting = os.environ.get("GANTL_ZOO_CACHE_LIMIT")
    if not setting:
        return available // 2
    if not setting.isdecimal():
        raise DataError(
            f"GANTL_ZOO_CACHE_LIMIT={setting!r} is not a valid number of bytes; use digits, or unset it"
        )
    return int(setting)
