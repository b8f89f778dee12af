"""Read the config.json of a run: checks shared by all kinds of runs."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from gantl_zoo.errors import TrainingError


def settings_in(config: Mapping[str, Any], supported: int, where: object) -> dict[str, Any]:
    """The settings in `config`, without its format and kind. A missing format is accepted.

    Raises `TrainingError` for a format that is not the `supported` one.
    """
    written = config.get("format", supported)
    if written != supported:
        raise TrainingError(
            f"{where} has format {written!r:.40}, but this version reads {supported}: upgrade gantl_zoo"
        )
    return {key: value for key, value in config.items() if key not in ("format", "kind")}


@contextlib.contextmanager
def readable(where: object) -> Iterator[None]:
    """Convert errors about missing, unknown or ill-typed settings to a `TrainingError`."""
    try:
        yield
    except (TypeError, KeyError) as error:
        raise TrainingError(
            f"{where} was written by another version of gantl_zoo, or its config.json was changed: {error}"
        ) from error
