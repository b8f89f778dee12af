"""The folders of released models, and model folders at a path."""

from __future__ import annotations

import os
from pathlib import Path

from gantl_zoo.errors import PluginError, UnknownNameError
from gantl_zoo.registry.builtins import models


def folder_at(name: str | Path) -> Path | None:
    """The model folder at that path, which may be a run's; None if no folder is there."""
    folder = Path(name)
    for place in (folder / "model", folder):  # a run folder has a config.json of its own
        if os.path.isfile(place / "config.json"):  # False, too, where a name is too long to be one
            return place
    if os.path.isdir(folder):
        raise UnknownNameError(f"{name} is a folder, but no model or run folder: it has no config.json")
    return None


def release_folder(name: str | Path) -> Path:
    """The folder of that name, a path's or a release's. Raises `UnknownNameError`."""
    try:
        if place := folder_at(name):
            return place
        entry = models.info(str(name))
        if not isinstance(found := entry.load(), str | os.PathLike):
            what = f"{entry.owner}'s model {entry.name!r} is a {type(found).__name__}"
            raise PluginError(f"{what}, where the path of its folder should be")
        return Path(found)
    except UnknownNameError as error:
        if os.path.isdir(name):
            raise
        raise UnknownNameError(f"{error}; neither is there a folder {name}") from None
