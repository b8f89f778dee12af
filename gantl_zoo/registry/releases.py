"""Find model folders, by path or by the name of a released model.

`./dcgan-mnist`, `~/models/mine` and every `Path` mean a folder. `gantl_zoo:dcgan-mnist` always means the
release. A bare name means a folder of that name, if it exists and has a model, or else the release.
"""

from __future__ import annotations

import os
from pathlib import Path

from gantl_zoo.errors import PluginError, UnknownNameError, UsageError
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.plugins import Entry

NO_MODEL = "not a model or run folder: it has no config.json"
NEITHER = "there is also no folder"


def check_name(name: object) -> str:
    """Convert a model's name or path to text, and expand `~`. Raises `UsageError` for other types."""
    text = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
    if not text or not isinstance(text, str):
        what = "''" if text == "" else f"an object of type {type(name).__name__}"
        raise UsageError(f"a model must be a name or a folder, not {what}")
    return os.path.expanduser(text)


def is_path(name: str | Path) -> bool:
    """Whether a name can only mean a folder: `./name`, an absolute path, a `Path`."""
    if not isinstance(name, str):
        return True
    return os.path.isabs(name) or name.startswith((".", "~")) or name.endswith(("/", os.sep))


def is_owned(name: str | Path) -> bool:
    """Whether a name can only mean a release: `owner:name`."""
    return isinstance(name, str) and ":" in name and name in models


def folder_at(name: str | Path) -> Path | None:
    """The model folder at a path, which may be a run folder; None if there is none.

    Raises `UnknownNameError` if the name is unambiguously a path, and that folder has no model.
    """
    folder = Path(check_name(name))
    if is_owned(name):
        return None
    for place in (folder / "model", folder):  # in this order: a run folder has its own config.json
        if os.path.isfile(place / "config.json"):  # also False for names that are too long for a path
            return place
    if is_path(name) and os.path.isdir(folder):
        raise UnknownNameError(f"{name} is a folder, but {NO_MODEL}")
    return None


def no_folder(name: str | Path, absent: str = "there is no folder") -> str:
    """Part of an error message: why `name` is not a model folder."""
    return f"{name} is a folder, but {NO_MODEL}" if os.path.isdir(check_name(name)) else f"{absent} {name}"


def release_folder(name: str | Path) -> Path:
    """The model folder of a path or a release. Raises `UnknownNameError`, `PluginError`."""
    if place := folder_at(name):
        return place
    if is_path(name):
        raise UnknownNameError(no_folder(name))
    try:
        entry = models.entry(str(name))
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; {no_folder(name, NEITHER)}") from None
    return folder_of(entry)


def folder_of(entry: Entry) -> Path:
    """The folder of a released model. Raises `PluginError` if its plug-in gives something else."""
    if not isinstance(found := entry.load(), str | os.PathLike):
        what = f"{entry.owner}'s model {entry.name!r} is a {type(found).__name__}"
        raise PluginError(f"{what}, but must be the path of its folder")
    return Path(found)
