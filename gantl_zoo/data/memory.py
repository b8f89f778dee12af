"""Total memory, free memory, and the memory that images may use. Needs no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gantl_zoo.errors import DataError

SHARE = 4  # images may use a quarter of the memory
UNKNOWN = 16 << 30  # bytes to assume if the system does not report its memory
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# files of the limit and the usage; the key in memory.stat of the memory that the kernel can reclaim
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def memory_limit() -> int:
    """Bytes above which images are streamed: GANTL_ZOO_MEMORY, or a quarter of the memory."""
    if setting := os.environ.get("GANTL_ZOO_MEMORY"):
        if not setting.isdigit():
            raise DataError(
                f"GANTL_ZOO_MEMORY={setting!r} is not a valid number of bytes; use digits, or unset it"
            )
        return int(setting)
    return machine_memory() // SHARE


def machine_memory() -> int:
    """Bytes of the machine's memory, or of the container's limit if that is lower."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system has these
        physical = UNKNOWN
    return min([physical, *(limit for limit, _ in _limits())])


def free_memory() -> int:
    """Bytes that can be allocated now, within the limit of a container."""
    try:
        lines = (PROC / "meminfo").read_text(encoding="ascii").splitlines()
        sizes = dict(line.split(":") for line in lines)
        available = int(sizes["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError):  # not Linux
        available = machine_memory()
    return max(0, min([available, *(limit - used for limit, used in _limits())]))


def _limits() -> Iterator[tuple[int, int]]:
    """Yield limit and usage in bytes of each control group of this process that has a limit."""
    try:
        lines = (PROC / "self" / "cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):  # not Linux
        return
    for line in lines:
        _, kinds, path = [*line.split(":", 2), "", ""][:3]
        if kinds and "memory" not in kinds.split(","):
            continue
        root, files = (CGROUPS / "memory", VERSION_1) if kinds else (CGROUPS, VERSION_2)
        group = root / path.lstrip("/")  # in a container this path may be missing: its group is the root
        for folder in (group, *group.parents):
            if not folder.is_relative_to(root):
                break
            if pair := _limit(folder, files):
                yield pair


def _limit(folder: Path, files: tuple[str, str, str]) -> tuple[int, int] | None:
    """Limit and usage in bytes of one group; None if it has no limit."""
    limit, usage, reclaimable = files
    try:
        most = int((folder / limit).read_text(encoding="ascii"))  # "max" is not a number
        used = int((folder / usage).read_text(encoding="ascii"))
    except (OSError, ValueError):
        return None
    try:
        lines = (folder / "memory.stat").read_text(encoding="ascii").splitlines()
        cached = int(dict(line.split() for line in lines)[reclaimable])
    except (OSError, ValueError, KeyError):
        cached = 0
    return most, max(0, used - cached)
