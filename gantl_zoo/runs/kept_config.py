"""Read the config.json of a run: the checks that all kinds of runs share."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from typing import Any

from gantl_zoo.errors import TrainingError


def settings_in(config: Mapping[str, Any], supported: int, where: object) -> dict[str, Any]:
    """The settings in `config`, without its format and kind. A missing format counts as supported.

    Raises `TrainingError` for another format than the `supported` one.
    """
    found = config.get("format", supported)
    if found != supported:
        raise TrainingError(
            f"{where} has format {found!r:.40}, this version reads {supported}; upgrade gantl_zoo"
        )
    return {key: value for key, value in config.items() if key not in ("format", "kind")}


@contextlib.contextmanager
def readable(where: object) -> Iterator[None]:
    """Turns errors about missing, unknown or ill-typed settings into a `TrainingError`."""
    try:
        yield
    except (TypeError, KeyError) as error:
        raise TrainingError(
            f"{where} was written by another version of gantl_zoo, or its config.json was changed: {error}"
        ) from error
