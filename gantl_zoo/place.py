"""A model folder gets its place: under its name only when it is whole; what stood there stays until then."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from gantl_zoo.errors import HubError, UsageError
from gantl_zoo.remote.fetch import KNOWN, Snapshot, part_of
from gantl_zoo.swap import swapped
from gantl_zoo.weights import sha256
from gantl_zoo.zoo import ORIGIN, load_model, pulled, pulled_from


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
    came = pulled(folder).get("files", {})
    for name, digest in came.items():
        if (folder / name).is_file() and sha256(folder / name) != digest:
            raise UsageError(
                f"{folder / name} was changed since it was pulled, and would be lost; choose another place, "
                "or move it away"
            )
    for path in found.folder.iterdir():
        own = folder / path.name
        brought = path.name in came or path.name == "config.json" or part_of(path.name)
        if not brought and KNOWN.fullmatch(path.name) and own.is_file() and sha256(own) != sha256(path):
            raise UsageError(
                f"{own} may be your own, and {found.repo} has one of that name, too; choose another place, "
                "or move it away"
            )

    def is_ones_own(name: str) -> bool:
        return name != ORIGIN and (name not in came if came else not KNOWN.fullmatch(name))

    try:
        with swapped(folder, along=is_ones_own) as new:
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


def _fill(found: Snapshot, new: Path) -> None:
    for path in found.folder.iterdir():
        if KNOWN.fullmatch(path.name):
            shutil.copyfile(path, new / path.name)  # the cache has links, the folder has files
    files = {path.name: sha256(path) for path in sorted(new.iterdir())}
    note = {**found.origin, "config_sha256": files["config.json"], "files": files}
    (new / ORIGIN).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")
