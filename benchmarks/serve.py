"""The protocol between a contestant and `throughput.py`: a number of steps in, a line of JSON out.

Needs only the standard library, since an opponent may run in its own environment.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any


def memory(kind: str) -> float:
    """The memory of this process in MB: "VmRSS", now, or "VmHWM", its peak; 0 where Linux does not tell."""
    status = Path("/proc/self/status")
    lines = status.read_text().splitlines() if status.exists() else []
    return sum(int(line.split()[1]) / 1024 for line in lines if line.startswith(f"{kind}:"))


def serve(run: Callable[[int], None], about: dict[str, Any], loaded: float = 0.0) -> None:
    """Print `about`, then run blocks of steps until standard input ends.

    `loaded` is the memory in MB before the first step, with the networks and the images.
    """
    out, sys.stdout = sys.stdout, sys.stderr  # output of libraries must not mix with the answers
    print(json.dumps(about), file=out, flush=True)
    for line in sys.stdin:
        before, clock = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
        run(int(line))
        seconds, after = time.perf_counter() - clock, resource.getrusage(resource.RUSAGE_SELF)
        used = {
            "seconds": seconds,
            "user": after.ru_utime - before.ru_utime,
            "system": after.ru_stime - before.ru_stime,
            "faults": after.ru_minflt - before.ru_minflt,
            "peak": memory("VmHWM") - loaded,
        }
        print(json.dumps(used), file=out, flush=True)
