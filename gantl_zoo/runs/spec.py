"""`DataSpec`: which images a run uses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantl_zoo import data as data_room
from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError


def check_samples(count: Any) -> int:
    """How many samples are measured. Raises `UsageError` if that is no count, or too few."""
    if not isinstance(count, int) or count < 2:
        raise UsageError(f"samples must be at least 2, not {count}")
    return count


def load(spec: Mapping[str, Any]) -> ImageData:
    """The images that a data specification means."""
    arguments = {key: value for key, value in spec.items() if key not in ("source", "fingerprint")}
    return data_room.load(spec["source"], **arguments)
