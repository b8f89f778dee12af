"""Errors of reading a file, with the path of that file in front."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gantl_zoo.errors import WeightsError, ZooError

DAMAGE = (KeyError, IndexError, TypeError, ValueError, AttributeError, RuntimeError)


class FileError(WeightsError):
    """A `WeightsError` whose message begins with the path of the file."""


@contextmanager
def located(path: str | Path) -> Iterator[None]:
    """Put the path in front of the errors inside, unless they have one already.

    Errors of a damaged tree, such as `KeyError`, become a `WeightsError`.
    """
    try:
        yield
    except FileError:
        raise
    except ZooError as error:
        kind = FileError if type(error) is WeightsError else type(error)
        raise kind(f"{path} can't be imported: {error}") from error
    except DAMAGE as error:
        cause = " ".join(f"{type(error).__name__}: {error}".split())[:200]
        raise FileError(
            f"{path} can't be imported: it does not have the structure of this format ({cause})"
        ) from error
