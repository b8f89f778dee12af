"""Processes that tests start, observe and kill. A fork server has imported torch, so each starts fast."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import sys
import time
from collections.abc import Callable, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["gantl_zoo.runs.transfer", "gantl_zoo.runs.monitor", "accelerate.utils", "torch._dynamo"]
)


def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """Call `function(*arguments)` in a new process; `function` must be defined at module level."""
    process = CONTEXT.Process(target=quietly, args=(function, *arguments), daemon=True)
    process.start()
    return process


def quietly(function: Callable[..., None], *arguments: Any) -> None:
    """Call a function with one thread, so that processes don't compete for cores."""
    import torch

    torch.set_num_threads(1)
    function(*arguments)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(
    count: int, function: Callable[..., None], *arguments: Any, late: float = 0.0
) -> list[BaseProcess]:
    """Start `count` processes as a launcher does; each calls `function(*arguments)`.

    The last one is started `late` seconds after the others.
    """
    port, started = free_port(), []
    for rank in range(count):
        time.sleep(late if rank == count - 1 else 0.0)
        started.append(start(as_rank, rank, count, port, function, *arguments))
    return started


def finish(processes: Sequence[BaseProcess], seconds: float = 240) -> list[int | None]:
    """The exit codes of the processes, waiting at most so long for all of them."""
    end = time.monotonic() + seconds
    for process in processes:
        process.join(max(0.0, end - time.monotonic()))
    return [process.exitcode for process in processes]


def as_rank(rank: int, count: int, port: int, function: Callable[..., None], *arguments: Any) -> None:
    os.environ |= {
        "RANK": str(rank),
        "LOCAL_RANK": str(rank),
        "WORLD_SIZE": str(count),
        "LOCAL_WORLD_SIZE": str(count),
        "MASTER_ADDR": "127.0.0.1",
        "MASTER_PORT": str(port),
        "OMP_NUM_THREADS": "1",
    }
    function(*arguments)


def command(log: Path, *words: str) -> None:
    """Run the command line; its output goes to `log`."""
    from gantl_zoo.cli import main

    with open(log, "w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        main(list(words))


def train(done: Any, settings: dict[str, Any]) -> None:
    """Call `gz.train`; `done` holds the step that it has reached."""
    import gantl_zoo as gz
    from gantl_zoo.runs.recorder import RunRecorder
    from gantl_zoo.training import checkpoint

    record, write = RunRecorder.on_step, checkpoint.save_file

    def on_step(self: RunRecorder, step: int) -> None:
        done.value = step
        record(self, step)

    def slowly(*arguments: Any) -> None:  # so that some kills hit a checkpoint that is being written
        write(*arguments)
        time.sleep(0.1)

    checkpoint.save_file = slowly  # type: ignore[assignment]
    RunRecorder.on_step = on_step  # type: ignore[method-assign]
    gz.train(**settings)


def moments(count: int, seed: int) -> list[float]:
    """Random delays, in seconds, after which to kill a process."""
    return [random.Random(seed + i).uniform(0.0, 0.25) for i in range(count)]
