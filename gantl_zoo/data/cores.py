"""The processor cores of this process. Needs no torch."""

from __future__ import annotations

import os


def available_cores() -> set[int]:
    """The processor cores that this process may use."""
    ask = getattr(os, "sched_getaffinity", None)
    return set(ask(0)) if ask else set(range(os.cpu_count() or 1))
