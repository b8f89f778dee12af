"""Atomic writes: a file or folder is written under a temporary name beside its target, then renamed."""

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
    """Yield an empty folder, which replaces `folder` when the block ends without an error.

    After an error, `folder` is unchanged. Files of the old folder whose names satisfy `along` move into the
    new one, unless it has a file of that name. A symbolic link to a folder is kept. Raises `OSError`, also if
    `folder` is a file.
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
        except BaseException:  # also Ctrl-C between any two renames
            restore(folder, new, old, carried)
            raise
    except BaseException:
        if not old.exists():  # else `restore` failed, and the old folder must not be lost
            shutil.rmtree(beside, ignore_errors=True)
        raise
    shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def replace_file(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path of the same suffix, which replaces `path` when the block ends without an error.

    After an error, `path` is unchanged. Creates missing parent folders. A symbolic link to a file is kept.
    Raises `OSError`.
    """
    path = Path(path).resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{secrets.token_hex(8)}{path.suffix}")
    try:
        yield beside
        os.replace(beside, path)
    finally:
        with contextlib.suppress(OSError):  # must not hide the error that is being raised
            beside.unlink(missing_ok=True)


def restore(folder: Path, new: Path, old: Path, carried: list[str]) -> None:
    """Undo `replace_folder`, whichever of its renames was the last."""
    for name in carried:
        if not os.path.lexists(old / name):
            os.rename(folder / name, old / name)
    if not new.exists():
        os.rename(folder, new)
    if old.exists():
        os.rename(old, folder)
