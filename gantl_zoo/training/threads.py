"""`Threads`: how many threads a run uses while other programs use its cores.

OpenMP's threads wait for each other after each operation. If another program takes the core of one of them,
all wait. So fewer threads can be faster: `benchmarks/README.md`, "Beside another program".
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import time
from collections.abc import Callable
from typing import NamedTuple

import torch

from gantl_zoo.data.cores import available_cores
from gantl_zoo.training.engine import Engine

INTERVAL = 2.0  # seconds over which the use of the cores is measured
KINDS = ("user", "nice", "system", "irq", "softirq")
MARGIN = 0.75  # cores by which the free ones must differ from the threads, so that these don't alternate


class Times(NamedTuple):
    """Seconds of the clock, and seconds in which other programs used this process's cores."""

    clock: float
    others: float


def processor_times() -> Times:
    """The times so far. Processes that this one started with `multiprocessing` are not others."""
    import psutil

    cores, mine = psutil.cpu_times(percpu=True), os.times()
    busy = sum(getattr(cores[i], kind, 0.0) for i in available_cores() if i < len(cores) for kind in KINDS)
    own = mine.user + mine.system + mine.children_user + mine.children_system
    for child in multiprocessing.active_children():
        with contextlib.suppress(psutil.Error):  # it may just have ended
            used = psutil.Process(child.pid).cpu_times()
            own += used.user + used.system
    return Times(time.monotonic(), busy - own)


class Threads:
    """Adapts torch's number of threads to the cores that other programs leave free.

    It stays between 1 and the number at the beginning, and is not changed on a GPU, if the engine's settings
    name a number, or in fp32, because another number of threads rounds sums differently.
    """

    def __init__(self, engine: Engine, times: Callable[[], Times] = processor_times) -> None:
        self.most, self.cores, self.times = torch.get_num_threads(), len(available_cores()), times
        self.exact = engine.precision == "fp32"
        self.active = engine.device.type == "cpu" and not engine.threads and self.most > 1
        self.measured = times() if self.active else Times(0, 0)

    def adapt(self) -> str:
        """Set the number of threads, if a measurement is due. Returns a sentence for the log, or ""."""
        if not self.active or time.monotonic() - self.measured.clock < INTERVAL:
            return ""
        before, now = self.measured, self.times()
        self.measured = now
        others = max(0.0, now.others - before.others) / (now.clock - before.clock)  # cores
        free, threads = self.cores - others, torch.get_num_threads()
        best = min(max(round(free), 1), self.most)
        if best == threads or abs(min(free, self.most) - threads) < MARGIN:
            return ""
        used = f"other programs use {others:.1f} of {self.cores} cores"
        if self.exact:
            self.active = False
            return f"{used}; this run may be faster with --engine-arg threads={best}"
        torch.set_num_threads(best)
        return f"{used}: {best} thread{'s' if best > 1 else ''} instead of {threads}"
