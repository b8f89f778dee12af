"""`CudaGraphs`: captures parts of a step on a GPU, by the rules of torch's notes on CUDA graphs.

https://docs.pytorch.org/docs/stable/notes/cuda.html#cuda-graphs
"""

from __future__ import annotations

import contextlib
import functools
import warnings
import weakref
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch

from gantl_zoo.errors import TrainingError
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.parts import Graphs, Parts

Result = TypeVar("Result")


def parts_for(engine: Engine) -> Parts:
    """What computes the parts of a step: CUDA graphs if the engine has them, and if they are possible."""
    if not engine.graphs:
        return Parts()
    if engine.device.type != "cuda":
        return Parts(f"the device is {engine.device}")
    if engine.processes.count > 1:
        return Parts("several processes exchange tensors within a step")
    if engine.compile:
        return Parts("the networks are compiled")
    return Graphs(CudaGraphs(engine.device))


class CudaGraphs:
    """Warms up and captures on one stream, with one pool of memory for all parts.

    One stream, because a backward pass runs on the stream of its forward pass, and the generator's forward
    pass is part of the discriminator's part. One pool, because graphs are replayed in the order of their
    captures, and no kind of step reads what another one computed.
    """

    def __init__(self, device: torch.device) -> None:
        self.device, self.stream = device, stream_of(device)
        self.pool: Any = None
        self.graphs: weakref.WeakSet[torch.cuda.CUDAGraph] = weakref.WeakSet()  # that use the pool

    def warm_up(self, part: Callable[[], Result]) -> tuple[Result, bool]:
        """Compute a part on the stream of the captures. Also returns whether the host waited for the GPU."""
        current = torch.cuda.current_stream(self.device)
        self.stream.wait_stream(current)
        with waits() as waiting, torch.cuda.stream(self.stream):
            result = part()
        current.wait_stream(self.stream)
        return result, bool(waiting)

    def capture(self, part: Callable[[], Result]) -> tuple[Callable[[], object], Result]:
        """Capture a part. Raises `TrainingError` if that fails.

        Other threads may use the GPU meanwhile. torch registers the default generator with the graph: each
        replay begins with the seed and the position that the generator has then.
        """
        if not self.graphs:  # torch accepts no pool whose graphs are all gone while tensors in it are left
            self.pool = torch.cuda.graph_pool_handle()
        graph = torch.cuda.CUDAGraph()
        captured = torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local")
        try:
            with torch.cuda.device(self.device), captured:
                result = part()
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            cause = str(error.__context__ or error).partition("\n")[0]
            raise TrainingError(
                f"a step can't be captured as CUDA graphs ({cause}): start again without --engine-arg "
                "graphs=true"
            ) from error
        self.graphs.add(graph)
        return graph.replay, result


@functools.cache
def stream_of(device: torch.device) -> torch.cuda.Stream:
    """The stream of all captures on a GPU. cuBLAS keeps memory for each stream that it was used on."""
    return torch.cuda.Stream(device)  # type: ignore[no-untyped-call]


@contextlib.contextmanager
def waits() -> Iterator[list[str]]:
    """Collect torch's warnings about operations inside that wait for the GPU. Other warnings are issued."""
    waiting: list[str] = []
    mode = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield waiting
        finally:
            torch.cuda.set_sync_debug_mode(mode)
    for one in caught:
        text = str(one.message)
        if "called a synchronizing" in text:
            waiting.append(text)
        elif "debug mode is a prototype" not in text:
            warnings.warn_explicit(one.message, one.category, one.filename, one.lineno)
