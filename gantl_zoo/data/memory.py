"""How much memory there is, how much of it is free, and how much images may take. No torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from gantl_zoo.errors import DataError

SHARE = 4  # of the memory, one part may hold images
UNKNOWN = 16 << 30  # bytes, where the system does not say how much there is
PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# limit, usage, and the key in memory.stat of the part of the usage that the kernel takes back when needed
VERSION_1 = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
VERSION_2 = ("memory.max", "memory.current", "inactive_file")


def memory_limit() -> int:
    """Bytes above which images are streamed: GANTL_ZOO_MEMORY, or a quarter of the memory."""
    if wanted := os.environ.get("GANTL_ZOO_MEMORY"):
        if not wanted.isdigit():
            raise DataError(f"GANTL_ZOO_MEMORY={wanted!r} is no number of bytes; write digits or unset it")
        return int(wanted)
    return machine_memory() // SHARE


def machine_memory() -> int:
    """Bytes of the machine's memory, or of a container's, if that has a lower limit."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (ValueError, OSError, AttributeError):  # not every system has these
        physical = UNKNOWN
    return min([physical, *(limit for limit, _ in _limits())])


def free_memory() -> int:
    """Bytes that can be allocated now: what the system has available, or less within a limited container."""
    try:
        lines = (PROC / "meminfo").read_text(encoding="ascii").splitlines()
        sizes = dict(line.split(":") for line in lines)
        available = int(sizes["MemAvailable"].split()[0]) << 10
    except (OSError, ValueError, KeyError):  # not Linux
        available = machine_memory()
    return max(0, min([available, *(limit - used for limit, used in _limits())]))


def _limits() -> Iterator[tuple[int, int]]:
    """Limit and usage in bytes of each control group that this process is in, where a group has a limit."""
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
            if found := _limit(folder, files):
                yield found


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
