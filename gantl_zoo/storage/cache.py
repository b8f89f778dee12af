"""The cache on disk, and model folders that are written into it at first use.

The environment variable GANTL_ZOO_CACHE names the cache (default `~/.cache/gantl_zoo`); "off" disables it.
The folder can be deleted at any time.
"""

from __future__ import annotations

import atexit
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from gantl_zoo.console import warn
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.atomic import replace_folder


def kept_in(kind: str) -> Path | None:
    """The folder of the cache for one kind of content, which may not exist; None if the cache is disabled."""
    place = os.environ.get("GANTL_ZOO_CACHE", "")
    if place == "off":
        return None
    return Path(os.path.expanduser(place or "~/.cache/gantl_zoo")) / kind


def models_folder() -> Path | None:
    """The folder of cached model folders, which may not exist; None if the cache is disabled."""
    return kept_in("models")


def features_folder() -> Path | None:
    """The folder of cached features, which may not exist; None if the cache is disabled."""
    chosen = os.environ.get("GANTL_ZOO_CACHE")
    folder = kept_in("features")
    return folder.parent if folder and chosen else folder


def plain(name: str) -> str:
    """A name as a part of a file's name: other characters than letters, digits, "." and "_" become "-"."""
    return re.sub(r"[^\w.]+", "-", name, flags=re.ASCII).strip("-.")[:40] or "data"


def cached(name: str) -> Path | None:
    """The cached model folder of that name; None if it has not been written."""
    places = [place for place in (models_folder(), *temporary_folders()) if place]
    return next((place / name for place in places if (place / name / "config.json").is_file()), None)


def written_once(name: str, write: Callable[[Path], object]) -> Path:
    """The cached model folder of that name, which `write(folder)` fills at first use.

    After an error there is no folder. If several processes call this at once, one writes and the others wait.
    Without a cache that can be written, the folder is temporary and lasts as long as the process. Raises
    `WeightsError` for a full disk, and what `write` raises.
    """
    from filelock import FileLock

    if present := cached(name):
        return present
    place = usable_folder()
    try:
        with FileLock(place / f"{name}.lock"):
            if (folder := place / name).is_dir() and (folder / "config.json").is_file():
                return folder
            with replace_folder(folder) as new:
                write(new)
    except OSError as error:
        raise WeightsError(
            f"can't write the model folder {place / name}: {error.strerror or error}"
        ) from error
    return folder


def usable_folder() -> Path:
    """The folder for cached models: it exists and can be written. Warns if it is a temporary one."""
    place = models_folder()
    try:
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
            tempfile.TemporaryFile(dir=place).close()
            return place
        cause = "GANTL_ZOO_CACHE is off"
    except OSError as error:
        cause = f"{place} can't be written ({error.strerror})"
    if not temporary_folders():
        warn(f"{cause}: converted models are written to a temporary folder, again in every process")
    return temporary_folder()


@cache
def temporary_folder() -> Path:
    """A temporary folder, which is removed when the process ends."""
    place = Path(tempfile.mkdtemp(prefix="gantl_zoo-models-"))
    atexit.register(shutil.rmtree, place, ignore_errors=True)
    return place


def temporary_folders() -> list[Path]:
    """The temporary folder, if this process has one."""
    return [temporary_folder()] if temporary_folder.cache_info().currsize else []
