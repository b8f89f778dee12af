"""`pull`: fetch a model or an adapter from the Hub, check it, and copy it to a folder."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

from gantl_zoo.errors import HubError, UsageError
from gantl_zoo.hub import fetch
from gantl_zoo.hub.fetch import KNOWN, Snapshot, part_of
from gantl_zoo.model.load import load_any
from gantl_zoo.storage.atomic import replace_folder
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.origin import ORIGIN, pulled, pulled_from
from gantl_zoo.storage.schema import parts_of


def place(snapshot: Snapshot, folder: Path) -> Path:
    """Copy a snapshot to `folder`, all or nothing, after loading it as a check. Other files there are kept.

    Raises `UsageError` if `folder` exists and does not hold an unchanged pulled model, `HubError` if it can't
    be written.
    """
    if folder.exists() and not _is_empty(folder) and pulled_from(folder) is None:
        reason = "is not a model folder"
        if (folder / "config.json").is_file():
            reason = "holds a model that was not pulled, or was changed since, and would be lost"
        raise UsageError(f"{folder} {reason}; choose another folder, or move it away")
    earlier = pulled(folder).get("files", {})
    for name, digest in earlier.items():
        if (folder / name).is_file() and sha256(folder / name) != digest:
            raise UsageError(
                f"{folder / name} was changed since it was pulled, and would be lost; choose another "
                "folder, or move it away"
            )
    for path in snapshot.folder.iterdir():
        own = folder / path.name
        brought = path.name in earlier or path.name == "config.json" or part_of(path.name)
        if not brought and KNOWN.fullmatch(path.name) and own.is_file() and sha256(own) != sha256(path):
            raise UsageError(
                f"{own} may be your own file, and {snapshot.repo} has one of the same name; choose another "
                "folder, or move it away"
            )

    def is_ones_own(name: str) -> bool:
        return name != ORIGIN and (name not in earlier if earlier else not KNOWN.fullmatch(name))

    try:
        with replace_folder(folder, along=is_ones_own) as new:
            _fill(snapshot, new)
            load_any(new)
    except OSError as error:
        raise HubError(
            f"can't write {folder}: {error.strerror or error}; it was left unchanged. Free some "
            "space, or choose another folder with --to"
        ) from error
    return folder


def _is_empty(folder: Path) -> bool:
    return folder.is_dir() and not any(folder.iterdir())


def _fill(snapshot: Snapshot, new: Path) -> None:
    for path in snapshot.folder.iterdir():
        if KNOWN.fullmatch(path.name):
            shutil.copyfile(path, new / path.name)  # the cache has links, the folder has files
    files = {path.name: sha256(path) for path in sorted(new.iterdir())}
    note = {**snapshot.origin, "config_sha256": files["config.json"], "files": files}
    (new / ORIGIN).write_text(json.dumps(note, indent=2) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Pulled:
    """A model that was pulled: its repository, commit and folder."""

    repo: str
    commit: str
    folder: Path

    def __str__(self) -> str:
        return f"{self.folder}\n{self.repo}@{self.commit}"


def pull(
    name: str,
    *,
    to: str | Path | None = None,
    token: str | bool | None = None,
    endpoint: str | None = None,
) -> Pulled:
    """Fetch a model or an adapter, `user/repo` or `user/repo@revision`, with all its files, and check it.

    It is stored in the Hub's cache, or, with `to`, in a folder that appears once it is complete and checked.
    `token` is used instead of the stored one.
    Raises `HubError`, `WeightsError`.
    """
    snapshot = fetch.fetch(name, parts_of, endpoint, all_files=True, token=token)
    load_any(snapshot.folder)
    if to is None:
        return Pulled(snapshot.repo, snapshot.commit, snapshot.folder)
    return Pulled(snapshot.repo, snapshot.commit, place(snapshot, Path(os.path.expanduser(to))))
