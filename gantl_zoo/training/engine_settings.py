"""Names and allowed values of the engine settings. No torch, because `Recipe` checks them, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import UsageError, unknown

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MAXIMUM = 1024  # threads or workers
COUNTS = {"threads": 0, "workers": 2}  # threads 0: as many as torch chooses
CHOICES: dict[str, tuple[object, ...]] = {
    "allocator": ("auto", "keep", "default"),
    "batchnorm": ("auto", "synced", "own"),
    "compile": (False, True),
    "graphs": (False, True),
    "memory_format": ("auto", "channels-last", "contiguous"),
    "optimizer": ("auto", "fused", "plain"),
}


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Check the given engine settings and fill in the defaults of the others. Raises `UsageError`."""
    names = [*CHOICES, *COUNTS]
    if unexpected := sorted(set(settings) - set(names)):
        raise UsageError(unknown("engine setting", unexpected, names))
    values: dict[str, Any] = {name: choices[0] for name, choices in CHOICES.items()} | COUNTS | dict(settings)
    for name, choices in CHOICES.items():
        if values[name] not in choices:
            raise UsageError(unknown(name, values[name], map(str, choices)))
    for name in COUNTS:
        if not isinstance(values[name], int) or not 0 <= values[name] <= MAXIMUM:
            raise UsageError(
                f"engine setting {name} must be a whole number from 0 to {MAXIMUM}, not {values[name]!r}"
            )
    return values
