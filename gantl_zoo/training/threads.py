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

INTERVAL = 1.0  # seconds over which the use of the cores is measured
MARGIN = 0.75  # cores by which the free ones must differ from the threads, so that these don't alternate
SHARE = 0.1  # the same as a share of the threads
KINDS = ("user", "nice", "system", "irq", "softirq", "steal")


class Times(NamedTuple):
    """Seconds of the clock, seconds in which this process's cores were busy, and seconds by own process."""

    clock: float
    busy: float
    own: dict[int, float]

    def others(self, before: Times) -> float:
        """The cores that other programs used since `before`, on average."""
        own = sum(seconds - before.own[key] for key, seconds in self.own.items() if key in before.own)
        return max(0.0, self.busy - before.busy - own) / (self.clock - before.clock)


def processor_times() -> Times | None:
    """The times so far; None where the system does not tell.

    Processes that this one started with `multiprocessing` are its own.
    """
    import psutil

    children = [child.pid for child in multiprocessing.active_children() if child.pid]
    own = dict[int, float]()
    try:
        cores, available = psutil.cpu_times(percpu=True), available_cores()
        if max(available) >= len(cores):
            return None
        for number in (os.getpid(), *children):
            with contextlib.suppress(psutil.NoSuchProcess):  # a child may just have ended
                used = psutil.Process(number).cpu_times()
                own[number] = used.user + used.system
    except (psutil.Error, OSError, RuntimeError):
        return None
    busy = sum(getattr(cores[core], kind, 0.0) for core in available for kind in KINDS)
    return Times(time.monotonic(), busy, own)


class Threads:
    """Adapts torch's number of threads to the cores that other programs leave free.

    It stays between 1 and the number at the beginning. In fp32 there is only a sentence for the log, because
    another number of threads rounds sums differently. Nothing is done on a GPU, for compiled networks, if the
    engine's settings name a number, and beside other processes of the run. A container's limits are not seen,
    and with hyper-threading a core counts as two.
    """

    def __init__(
        self,
        engine: Engine,
        times: Callable[[], Times | None] = processor_times,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.most, self.cores = torch.get_num_threads(), len(available_cores())
        self.times, self.clock, self.exact = times, clock, engine.precision == "fp32"
        fixed = engine.threads or engine.compile or engine.processes.count > 1 or engine.device.type != "cpu"
        self.active = 1 < self.most <= self.cores and not fixed
        self.begin()

    def begin(self) -> None:
        """Use all threads, and measure from now on."""
        self.restore()
        self.before = self.times() if self.active else None
        self.asked = self.most  # the number that the measurement before asked for

    def restore(self) -> None:
        """Use all threads again."""
        if self.active and torch.get_num_threads() != self.most:
            torch.set_num_threads(self.most)

    def adapt(self) -> str:
        """Set the number of threads, if a measurement is due. Returns a sentence for the log, or ""."""
        if self.before is None or self.clock() - self.before.clock < INTERVAL:
            return ""
        before, self.before = self.before, self.times()
        if self.before is None:
            return ""
        others, threads = self.before.others(before), torch.get_num_threads()
        asked, self.asked = self.asked, self.best(self.cores - others, threads)
        chosen = sorted((asked, threads, self.asked))[
            1
        ]  # two measurements ask for so many, or for more or less
        if chosen == threads:
            return ""
        used = f"other programs use {others:.1f} of {self.cores} cores"
        if self.exact:
            self.before = None  # it is said once
            return f"{used}; a run with --engine-arg threads={chosen} may be faster"
        torch.set_num_threads(chosen)
        return f"{used}: {chosen} thread{'s' if chosen > 1 else ''} instead of {threads}"

    def best(self, free: float, threads: int) -> int:
        """The number of threads for so many free cores: `threads`, the current one, if it differs little."""
        if abs(min(free, self.most) - threads) < max(MARGIN, SHARE * threads):
            return threads
        return min(max(round(free), 1), self.most)
