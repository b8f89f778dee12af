"""What the cache on disk holds: list its entries and remove them."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.storage.cache import features_folder, kept_in

# kind -> its folder, the pattern of its entries, and what they are
KINDS: dict[str, tuple[Callable[[], Path | None], str, str]] = {
    "images": (lambda: kept_in("images"), "*.images", "decoded images of folders that are streamed"),
    "sums": (lambda: kept_in("sums"), "*.json", "checksums of the files in a folder"),
    "features": (
        features_folder,
        "*.safetensors",
        "features of real images for metrics, and of sources for --strategy auto",
    ),
    "models": (lambda: kept_in("models"), "*/config.json", "model folders of plug-ins"),
}


@dataclass(frozen=True)
class Entry:
    """One entry of the cache: its kind, its path, its size in bytes, and when it was last used (seconds)."""

    kind: str
    path: Path
    size: int
    used: float

    @property
    def name(self) -> str:
        """The name by which `gantl-zoo cache` lists and removes the entry."""
        return f"{self.kind}/{self.path.stem if self.path.is_file() else self.path.name}"


def entries(kinds: Iterable[str] = tuple(KINDS)) -> list[Entry]:
    """The entries of the cache, by kind, the last used first. Raises `UsageError` for an unknown kind."""
    listed = []
    for kind in kinds:
        if kind not in KINDS:
            raise UsageError(unknown("kind", kind, KINDS))
        folder, pattern, _ = KINDS[kind]
        place = folder()
        paths = sorted(place.glob(pattern)) if place else []
        every = [entry_of(kind, path.parent if "/" in pattern else path) for path in paths]
        listed += sorted((entry for entry in every if entry), key=lambda entry: -entry.used)
    return listed


def entry_of(kind: str, path: Path) -> Entry | None:
    """The entry at a path; None if another process has removed it."""
    try:
        files = [path] if path.is_file() else [file for file in path.rglob("*") if file.is_file()]
        return Entry(kind, path, sum(file.stat().st_size for file in files), path.stat().st_mtime)
    except OSError:
        return None


def remove(entry: Entry) -> None:
    """Remove an entry and its lock; a run that uses it decodes or computes again. Raises `UsageError`."""
    try:
        if entry.path.is_dir():
            shutil.rmtree(entry.path)
        else:
            entry.path.unlink(missing_ok=True)
        entry.path.with_name(f"{entry.path.name}.lock").unlink(missing_ok=True)
    except OSError as error:
        raise UsageError(f"can't remove {entry.path} ({error.strerror or error})") from error


def named(names: Iterable[str], among: list[Entry]) -> list[Entry]:
    """The entries with these names, or with names that begin like them. Raises `UsageError` for others."""
    chosen: dict[Path, Entry] = {}
    for name in names:
        some = [entry for entry in among if name in (entry.name, entry.path.stem)]
        some = some or [entry for entry in among if name and entry.name.startswith(name)]
        if not some:
            raise UsageError(unknown("entry of the cache", name, [entry.name for entry in among]))
        chosen |= {entry.path: entry for entry in some}
    return list(chosen.values())


def touch(path: Path) -> None:
    """Note that an entry is used now, if the cache can be written."""
    with contextlib.suppress(OSError):
        os.utime(path)
