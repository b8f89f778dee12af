"""Paths that a visitor names: only those inside the studio's folders, links included."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gantl_zoo.data.names import suffixes
from gantl_zoo.errors import UsageError
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.settings import Settings

MOST = 20_000  # entries that are searched for folders, or for links
DEPTH = 3  # levels below the root that are searched
SKIPPED = {"node_modules", "__pycache__", "site-packages", "checkpoints", "model"}


def inside(settings: Settings, text: str) -> Path:
    """The absolute path, without links, of a path below the root. Raises `UsageError` for one outside.

    An absolute path is accepted if it is inside as well.
    """
    if not text or "\0" in text or len(text) > 4096:
        raise UsageError("a path is missing, or is not valid")
    try:
        path = (settings.root / text).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise UsageError(f"{printable(text)} is not a valid path: {error}") from error
    if not within(settings, path):
        raise UsageError(
            f"{printable(text)} is outside of {settings.root}: start the studio with --root FOLDER to use "
            "another folder"
        )
    return path


def within(settings: Settings, path: Path) -> bool:
    """Whether an absolute path without links is in one of the studio's folders."""
    return any(path == root or root in path.parents for root in settings.roots)


def complete(settings: Settings, path: Path) -> Path:
    """The path, if no link in that folder leads out of the studio's folders. Raises `UsageError`."""
    for count, entry in enumerate(entries(path), 1):
        if entry.is_symlink() and not within(settings, entry.resolve()):
            raise UsageError(f"{shown(settings, entry)} is a link that leads outside of {settings.root}")
        if count >= MOST * 10:
            raise UsageError(f"{shown(settings, path)} has more than {count:,} files")
    return path


def entries(path: Path) -> Iterator[Path]:
    """All files and folders below a folder; links are not followed."""
    for place, folders, files in os.walk(path):
        yield from (Path(place) / name for name in (*folders, *files))


def shown(settings: Settings, path: Path) -> str:
    """A path as the pages and commands show it: `./photos` below the root, else absolute."""
    if path == settings.root:
        return "."
    return f"./{path.relative_to(settings.root).as_posix()}" if settings.root in path.parents else str(path)


def searched(settings: Settings) -> tuple[list[str], list[str]]:
    """The model folders, and the folders and zips with images, a few levels below the root.

    Hidden folders and links are left out.
    """
    models, images, seen = [], [], 0
    for place, folders, files in os.walk(settings.root):
        here = Path(place)
        depth = len(here.relative_to(settings.root).parts)
        seen += len(files) + len(folders)
        names = set(files)
        if {"config.json", "generator.safetensors"} <= names or "generator.safetensors.index.json" in names:
            models.append(shown(settings, here))
        if depth and any(os.path.splitext(name)[1].lower() in suffixes() for name in files[:50]):
            images.append(shown(settings, here))
        images += [shown(settings, here / name) for name in files if name.lower().endswith(".zip")]
        deeper = depth < DEPTH and seen < MOST and here != settings.out
        folders[:] = sorted(f for f in folders if f[0] != "." and f not in SKIPPED) if deeper else []
    return sorted(models), parents_too(sorted(images))


def parents_too(folders: list[str]) -> list[str]:
    """The folders of images, and before them the parents of several: their sub-folders may be classes."""
    above = [folder.rpartition("/")[0] for folder in folders]
    several = {parent for parent in above if above.count(parent) > 1 and parent not in (".", *folders)}
    return sorted({*folders, *several})
