"""A folder is written beside its place and takes it when it is whole; until then, what stood there stays."""

from __future__ import annotations

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
    Raises `OSError`.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    new, old = beside / "new", beside / "old"
    new.mkdir()
    try:
        yield new
        if folder.exists():
            os.rename(folder, old)
        try:
            os.rename(new, folder)
        except OSError:
            if old.exists():
                os.rename(old, folder)
            raise
        for other in old.iterdir() if old.exists() else ():
            if along(other.name) and not (folder / other.name).exists():
                os.rename(other, folder / other.name)
    finally:
        shutil.rmtree(beside, ignore_errors=True)
