"""`Archive`: where image files come from. A folder and a zip are two kinds of it."""

from __future__ import annotations

import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from pathlib import Path

from gantl_zoo.console import warn
from gantl_zoo.data.sums import content_of, sums_of_files
from gantl_zoo.errors import DataError

# Folders that operating systems put beside pictures. Hidden files and folders are skipped as well.
JUNK = {
    "@eadir", "@recycle", "@__thumb", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "recycler",
    "system volume information", "lost+found", "__macosx",
}  # fmt: skip


TRAIN = ("train", "training")  # folders and splits for training
# the first of these that exists holds the test split
TESTS = ("test", "testing", "val", "valid", "validation", "dev", "eval")


class Archive(ABC):
    """Files that may be images. `source` is the address that a user gives.

    A file's name is what the archive calls it; its path is relative to the archive, with "/" on every system.
    The folders of the paths are splits and classes. `pinned` says whether `address` leads to files that can't
    change.
    """

    pinned = False

    def __init__(self, source: Path) -> None:
        self.source = source

    @classmethod
    @abstractmethod
    def accepts(cls, place: str) -> bool:
        """Whether `place` is the address of an archive of this kind that exists."""

    @abstractmethod
    def paths(self, junk: bool = False) -> dict[str, str]:
        """`{name: path}` of all files; `junk` includes a folder's junk folders. Raises `DataError`."""

    @abstractmethod
    def read(self, name: str) -> bytes:
        """The content of a file. Threads may call it at the same time."""

    @abstractmethod
    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        """CRC-32 and size of each file; (0, 0) if it can't be read, which decoding reports."""

    @classmethod
    def address(cls, place: str) -> str:
        """The address that finds the same archive from any working directory, and later."""
        return os.path.abspath(place)

    @property
    def name(self) -> str:
        """The name of the data, also for a folder such as "." or ".."."""
        source = self.source
        return source.absolute().name if source.name not in ("", "..") else source.resolve().name

    def damage(self) -> str:
        """A warning about damaged parts of the archive, which are left out; "" if there are none."""
        return ""

    def labels(self) -> tuple[dict[str, str], tuple[str, ...]] | None:
        """`{name: class}` and the classes in order, if the archive has a table of them."""
        return None

    def origin(self) -> str:
        """The address for the lineage, if it leads to the same files on any machine; else ""."""
        return ""


class Folder(Archive):
    """A folder with all folders below it."""

    @classmethod
    def accepts(cls, place: str) -> bool:
        return os.path.isdir(place)

    def paths(self, junk: bool = False) -> dict[str, str]:
        return {path: path for path in walk(self.source, lambda name: junk or not is_junk(name))}

    def read(self, name: str) -> bytes:
        return content_of(f"{self.source}/{name}")[0]

    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        return sums_of_files(self.source, names)


class Zip(Archive):
    """A zip, or any other file, which `paths` rejects."""

    @classmethod
    def accepts(cls, place: str) -> bool:
        return os.path.exists(place)

    @cached_property
    def file(self) -> zipfile.ZipFile:
        return zipfile.ZipFile(self.source)

    def paths(self, junk: bool = False) -> dict[str, str]:
        try:
            with zipfile.ZipFile(self.source) as archive:
                names = [entry.filename for entry in archive.infolist() if not entry.is_dir()]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{self.source} is neither a folder nor a readable zip: {error}") from error
        # some Windows tools separate folders by "\", which elsewhere may be part of a name
        windows = not any("/" in name for name in names)
        return {name: name.replace("\\", "/") if windows else name for name in names}

    def read(self, name: str) -> bytes:
        return self.file.read(name)

    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        with zipfile.ZipFile(self.source) as archive:  # its directory lists them
            entries = [archive.getinfo(name) for name in names]
        return {entry.filename: (entry.CRC, entry.file_size) for entry in entries}


def is_junk(name: str) -> bool:
    """Whether a file or folder is hidden, or one that operating systems put beside pictures."""
    return name.startswith(".") or name.lower() in JUNK


def walk(source: Path, allowed: Callable[[str], bool]) -> Iterator[str]:
    """Yield the paths of all files below a folder, relative to it, except those in unwanted folders.

    Links to folders are followed, each folder once.
    """
    entered, waiting = set(), [(str(source), "")]
    while waiting:
        place, inside = waiting.pop()
        if (real := os.path.realpath(place)) in entered:
            continue
        entered.add(real)
        try:
            with os.scandir(place) as scanned:
                entries = list(scanned)
        except OSError as error:
            warn(f"{source}: {error.filename} can't be listed ({error.strerror}); it is left out")
            continue
        yield from (inside + entry.name for entry in entries if _is(entry.is_file))
        folders = [entry for entry in entries if allowed(entry.name) and _is(entry.is_dir)]
        folders.sort(key=lambda entry: (entry.is_symlink(), entry.name), reverse=True)
        waiting += [(entry.path, f"{inside}{entry.name}/") for entry in folders]


def _is(check: Callable[[], bool]) -> bool:
    try:
        return check()
    except OSError:  # a link that leads to itself
        return False
