"""The settings of an engine by name, and their values. No torch: a recipe checks them, too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantl_zoo.errors import UsageError, unknown

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
MOST = 1024  # threads or workers
COUNTS = {"threads": 0, "workers": 2}  # threads 0: as many as torch chooses
CHOICES: dict[str, tuple[object, ...]] = {
    "allocator": ("auto", "keep", "default"),
    "compile": (False, True),
    "memory_format": ("auto", "channels-last", "contiguous"),
    "optimizer": ("auto", "fused", "plain"),
}


def check(settings: Mapping[str, Any]) -> dict[str, Any]:
    """All engine settings: the given ones and the defaults of the rest. Raises `UsageError`."""
    names = [*CHOICES, *COUNTS]
    if strange := sorted(set(settings) - set(names)):
        raise UsageError(unknown("engine setting", strange, names))
    wanted: dict[str, Any] = {name: choices[0] for name, choices in CHOICES.items()} | COUNTS | dict(settings)
    for name, choices in CHOICES.items():
        if wanted[name] not in choices:
            raise UsageError(unknown(name, wanted[name], map(str, choices)))
    for name in COUNTS:
        if not isinstance(wanted[name], int) or not 0 <= wanted[name] <= MOST:
            raise UsageError(
                f"engine setting {name} must be a whole number from 0 to {MOST}, not {wanted[name]!r}"
            )
    return wanted
