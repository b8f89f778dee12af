"""Folders and files are written beside their place and renamed into it; until then, what was there stays."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replace_folder(folder: Path, along: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """An empty folder to fill, which becomes `folder` if the block ends well; else nothing has changed.

    What an earlier `folder` held under names that are `along`, and the new one doesn't hold, moves along.
    A link to a folder stays one. Raises `OSError`, also for a file in that place.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    new, old, carried = beside / "new", beside / "old", list[str]()
    new.mkdir()
    try:
        yield new
        try:
            if folder.exists():
                os.rename(folder, old)
            os.rename(new, folder)
            for other in list(old.iterdir()) if old.exists() else ():
                if along(other.name) and not (folder / other.name).exists():
                    carried.append(other.name)
                    os.rename(other, folder / other.name)
        except BaseException:  # also Ctrl-C, between any two of these
            take_back(folder, new, old, carried)
            raise
    except BaseException:
        if not old.exists():  # else it could not be taken back, and must not be lost
            shutil.rmtree(beside, ignore_errors=True)
        raise
    shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def replace_file(path: str | Path) -> Iterator[Path]:
    """The path of a file to write, of the same suffix, which becomes `path` if the block ends well; else
    nothing has changed.

    Missing parent folders are created. A link to a file stays one. Raises `OSError`.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):  # the error that is on its way says more
            beside.unlink(missing_ok=True)


def take_back(folder: Path, new: Path, old: Path, carried: list[str]) -> None:
    """Put everything back where it was, wherever the exchange of folders has stopped."""
    for name in carried:
        if not os.path.lexists(old / name):
            os.rename(folder / name, old / name)
    if not new.exists():
        os.rename(folder, new)
    if old.exists():
        os.rename(old, folder)
