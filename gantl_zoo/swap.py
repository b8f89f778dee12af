"""A folder is written beside its place and takes it when it is whole; until then, what stood there stays."""

from __future__ import annotations

import errno
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def swapped(folder: Path, along: Callable[[str], bool] = lambda name: False) -> Iterator[Path]:
    """An empty folder to fill, which becomes `folder` if the block ends well; else nothing has changed.

    What an earlier `folder` held under names that are `along`, and the new one doesn't hold, moves along.
    A link to a folder stays one. Raises `OSError`, also for a file in that place.
    """
    folder = folder.resolve()
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), str(folder))
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    new, old = beside / "new", beside / "old"
    new.mkdir()
    try:
        yield new
        try:
            if folder.exists():
                os.rename(folder, old)
            os.rename(new, folder)
            carry(old, folder, along)
        except BaseException:  # also Ctrl-C, between any two of these
            if old.exists() and not folder.exists():
                os.rename(old, folder)
            carry(old, folder, along)
            raise
    except BaseException:
        if folder.exists() or not old.exists():
            shutil.rmtree(beside, ignore_errors=True)
        raise
    shutil.rmtree(beside, ignore_errors=True)


def carry(old: Path, folder: Path, along: Callable[[str], bool]) -> None:
    """Move what is `along` of the old folder, if there is one, into the new one."""
    for other in old.iterdir() if old.exists() else ():
        if along(other.name) and not (folder / other.name).exists():
            os.rename(other, folder / other.name)
