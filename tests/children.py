"""Processes that tests start, watch and kill. A fork server has torch imported, so each starts at once."""

from __future__ import annotations

import multiprocessing
import os
import random
import socket
import sys
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    ["gantl_zoo.runs.transfer", "gantl_zoo.runs.monitor", "accelerate.utils", "torch._dynamo"]
)


def start(function: Callable[..., None], *arguments: Any) -> BaseProcess:
    """`function(*arguments)` in a process of its own; `function` must be a module's."""
    process = CONTEXT.Process(target=quietly, args=(function, *arguments), daemon=True)
    process.start()
    return process


def quietly(function: Callable[..., None], *arguments: Any) -> None:
    """One thread, so that processes don't wait for each other's cores."""
    import torch

    torch.set_num_threads(1)
    function(*arguments)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def launch(count: int, function: Callable[..., None], *arguments: Any) -> list[BaseProcess]:
    """`count` processes as a launcher starts them; each calls `function(*arguments)`."""
    port = free_port()
    return [start(as_rank, rank, count, port, function, *arguments) for rank in range(count)]


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
    """The command line; what it prints goes to `log`."""
    from gantl_zoo.cli import main

    with open(log, "w", buffering=1) as file:
        sys.stdout = sys.stderr = file
        main(list(words))


def train(done: Any, settings: dict[str, Any]) -> None:
    """`gz.train`, telling in `done` which step it has reached."""
    import gantl_zoo as gz
    from gantl_zoo.runs.recorder import RunRecorder
    from gantl_zoo.training import checkpoint

    tell, write = RunRecorder.on_step, checkpoint.save_file

    def on_step(self: RunRecorder, step: int) -> None:
        done.value = step
        tell(self, step)

    def slowly(*arguments: Any) -> None:  # so that some kills hit a checkpoint that is being written
        write(*arguments)
        time.sleep(0.01)

    checkpoint.save_file = slowly  # type: ignore[assignment]
    RunRecorder.on_step = on_step  # type: ignore[method-assign]
    gz.train(**settings)


def moments(count: int, seed: int) -> list[float]:
    """Random moments at which to strike, in seconds."""
    return [random.Random(seed + i).uniform(0.0, 0.25) for i in range(count)]
