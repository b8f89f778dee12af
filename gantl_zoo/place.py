"""A model folder gets its place: under its name only when it is whole; what stood there stays until then."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path

from gantl_zoo.errors import HubError, UsageError
from gantl_zoo.hub.fetch import KNOWN, Snapshot
from gantl_zoo.swap import swapped
from gantl_zoo.zoo import ORIGIN, load_model, pulled_from


def place(found: Snapshot, folder: Path) -> Path:
    """Copy a snapshot to `folder`, load it there, then let it appear. Other files of `folder` stay.

    Raises `UsageError` if `folder` is something else than what was pulled before, `HubError` if it can't
    be written.
    """
    if folder.exists() and not _is_empty(folder) and pulled_from(folder) is None:
        there = "and no model folder"
        if (folder / "config.json").is_file():
            there = "and holds a model that was not pulled, or was changed since, and would be lost"
        raise UsageError(f"{folder} is there {there}; choose another place, or move it away")
    try:
        with swapped(folder, along=_is_ones_own) as new:
            _fill(found, new)
            load_model(new)
    except OSError as error:
        raise HubError(
            f"can't write {folder}: {error.strerror or error}; what was there is as it was. Free "
            "some space or choose another place with --to"
        ) from error
    return folder


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _is_ones_own(name: str) -> bool:
    return not KNOWN.fullmatch(name) and name != ORIGIN


def _fill(found: Snapshot, new: Path) -> None:
    for path in found.folder.iterdir():
        if KNOWN.fullmatch(path.name):
            shutil.copyfile(path, new / path.name)  # the cache has links, the folder has files
    config = hashlib.sha256((new / "config.json").read_bytes()).hexdigest()
    (new / ORIGIN).write_text(json.dumps(found.origin | {"config_sha256": config}, indent=2) + "\n")
