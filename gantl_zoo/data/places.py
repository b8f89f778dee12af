"""The kinds of archives, and which of them an address means."""

from __future__ import annotations

from pathlib import Path

from gantl_zoo.data.archive import Archive, Folder, Zip

KINDS: tuple[type[Archive], ...] = (Folder, Zip)  # the first that accepts an address reads it


def kind_of(place: str | Path) -> type[Archive] | None:
    """The kind of archive at an address; None if there is none."""
    return next((kind for kind in KINDS if kind.accepts(str(place))), None)


def archive_of(source: Path) -> Archive:
    """The archive at an address. If there is none, using it raises `DataError`."""
    return (kind_of(source) or Zip)(source)
