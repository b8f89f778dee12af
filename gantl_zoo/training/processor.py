"""The name of this machine's processor."""

from __future__ import annotations

import platform
from pathlib import Path

from gantl_zoo.data.cores import available_cores


def processor_text() -> str:
    """Linux's description of the processor; "" on other systems."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return ""


def processor_name(text: str = "") -> str:
    """The processor's name, from `processor_text` or from the system."""
    lines = [line.partition(":")[2].strip() for line in text.splitlines() if line.startswith("model name")]
    return lines[0] if lines else platform.processor() or platform.machine()


def machine() -> str:
    """The processor and the number of its cores that this process may use."""
    count = len(available_cores())
    return f"{processor_name(processor_text())}, {count} core{'s' if count > 1 else ''}"
