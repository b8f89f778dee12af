"""Find model folders, by path or by the name of a released model.

`./dcgan-mnist`, `~/models/mine` and every `Path` mean a folder. `gantl_zoo:dcgan-mnist` always means the
release. A bare name means a folder of that name, if it exists and has a model, or else the release.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from gantl_zoo.errors import PluginError, UnknownNameError, UsageError
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.imports import resolve
from gantl_zoo.registry.plugins import Entry

CACHE = "gantl_zoo.storage.cache"  # this room imports no other one, so by reference
NO_MODEL = "not a model or run folder: it has no config.json"
NEITHER = "there is also no folder"


@dataclass(frozen=True)
class LazyModel:
    """A released model whose folder is written to the cache at first use, for example from another package.

    `description`: a folder with `config.json` and, if there is a card, `README.md`, but without weights.
        Lists and `info` read it, so they cost no conversion.
    `write`: a function that fills an empty folder, its argument, with the complete model folder.
    `version`: a text that differs for other weights, such as the SHA-256 of the file they come from.
    """

    description: Path
    write: Callable[[Path], object] = field(repr=False)
    version: str

    def folder_name(self, name: str) -> str:
        """The name of the cached folder: another one for other weights or another description."""
        digest = hashlib.sha256(self.version.encode())
        for file in ("config.json", "README.md"):
            path = self.description / file
            digest.update(path.read_bytes() if path.is_file() else b"")
        return f"{name}-{digest.hexdigest()[:16]}"


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
    if os.path.isfile(name):
        return f"{name} is a file, not a model folder; `gantl-zoo import` reads files of other projects"
    return f"{name} is a folder, but {NO_MODEL}" if os.path.isdir(check_name(name)) else f"{absent} {name}"


def release_folder(name: str | Path, *, weights: bool = True) -> Path:
    """The model folder of a path or a release; with `weights=False`, the weights of a release may be missing.

    Raises `UnknownNameError`, `PluginError`, and `WeightsError` if a folder can't be written at first use.
    """
    if place := folder_at(name):
        return place
    if is_path(name):
        raise UnknownNameError(no_folder(name))
    try:
        entry = models.entry(str(name))
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; {no_folder(name, NEITHER)}") from None
    return folder_of(entry) if weights else description_of(entry)


def folder_of(entry: Entry) -> Path:
    """The folder of a released model, with its weights.

    Raises `PluginError` if its plug-in gives neither a path nor a `LazyModel`, and `WeightsError` if the
    folder can't be written at first use.
    """
    source = _loaded(entry)
    if isinstance(source, Path):
        return source
    folder: Path = resolve(f"{CACHE}:written_once")(source.folder_name(entry.name), source.write)
    return folder


def description_of(entry: Entry) -> Path:
    """A folder with the `config.json` of a released model; its weights are missing before the first use.

    Raises `PluginError` if its plug-in gives neither a path nor a `LazyModel`.
    """
    source = _loaded(entry)
    if isinstance(source, Path):
        return source
    return resolve(f"{CACHE}:cached")(source.folder_name(entry.name)) or source.description


def _loaded(entry: Entry) -> Path | LazyModel:
    if isinstance(source := entry.load(), LazyModel):
        return source
    if not isinstance(source, str | os.PathLike):
        what = f"{entry.owner}'s model {entry.name!r} is a {type(source).__name__}"
        raise PluginError(f"{what}, but must be the path of its folder or a LazyModel")
    return Path(source)
