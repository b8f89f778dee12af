"""Model folders at a path, and the folders of released models.

`./dcgan-mnist`, `~/models/mine` and every `Path` mean a folder; `gantl_zoo:dcgan-mnist` means the release,
whatever lies in the working directory. A bare name means a folder of that name if it holds a model, else the
release.
"""

from __future__ import annotations

import os
from pathlib import Path

from gantl_zoo.errors import PluginError, UnknownNameError, UsageError
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.plugins import Entry

NO_MODEL = "no model or run folder: it has no config.json"
NEITHER = "neither is there a folder"


def check_name(name: object) -> str:
    """A model's name or path as text, with `~` as the home folder. Raises `UsageError` for anything else."""
    text = os.fspath(name) if isinstance(name, (str, os.PathLike)) else None
    if not text or not isinstance(text, str):
        what = "''" if text == "" else f"an object of type {type(name).__name__}"
        raise UsageError(f"a model is given by its name or its folder, not by {what}")
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
    """The model folder at that path, which may be a run's; None if no model is there.

    Raises `UnknownNameError` if the name can only mean a folder that is there and holds no model.
    """
    folder = Path(check_name(name))
    if is_owned(name):
        return None
    for place in (folder / "model", folder):  # a run folder has a config.json of its own
        if os.path.isfile(place / "config.json"):  # False, too, where a name is too long to be one
            return place
    if is_path(name) and os.path.isdir(folder):
        raise UnknownNameError(f"{name} is a folder, but {NO_MODEL}")
    return None


def no_folder(name: str | Path, absent: str = "there is no folder") -> str:
    """Why no folder of that name is a model, for messages."""
    return f"{name} is a folder, but {NO_MODEL}" if os.path.isdir(check_name(name)) else f"{absent} {name}"


def release_folder(name: str | Path) -> Path:
    """The folder of that name, a path's or a release's. Raises `UnknownNameError`."""
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
        raise PluginError(f"{what}, where the path of its folder should be")
    return Path(found)
