"""What a device can do, and what a step asks of it: for `gpu.py`.

Times are those of device events on a GPU, and of `perf_counter` on a CPU.
"""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

WATT_SECONDS = 1e-3  # of a unit of NVML's counter


def seconds(
    run: Callable[[], object], device: torch.device, meanwhile: Callable[[], object] = lambda: None
) -> float:
    """The time that the device takes for what `run` does. `meanwhile` is called when all is queued."""
    if device.type != "cuda":
        start = time.perf_counter()
        run()
        return time.perf_counter() - start
    begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    torch.cuda.synchronize(device)
    begin.record()
    run()
    end.record()
    meanwhile()
    end.synchronize()
    return begin.elapsed_time(end) / 1e3


def best(run: Callable[[], object], device: torch.device, count: int, rounds: int = 5) -> float:
    """The shortest time of `run`, which is called `count` times in each round after a warm-up."""
    run()
    times = [seconds(lambda: [run() for _ in range(count)], device) / count for _ in range(rounds)]
    return min(times)


def matrix_rate(device: torch.device, dtype: torch.dtype, size: int, count: int = 10) -> float:
    """Floating-point operations a second of a product of two square matrices."""
    left, right = torch.randn(2, size, size, device=device).to(dtype)
    result = torch.empty_like(left)
    return 2 * size**3 / best(lambda: torch.mm(left, right, out=result), device, count)


def bandwidth(device: torch.device, size: int, count: int = 10) -> float:
    """Bytes a second, read and written, of a copy of `size` bytes."""
    source = torch.zeros(size // 4, device=device)
    target = torch.empty_like(source)
    return 2 * source.nbytes / best(lambda: target.copy_(source), device, count)


class Work(TorchDispatchMode):
    """Counts floating-point operations of convolutions and matrix products, and the bytes that are moved.

    Each kernel is taken to read its inputs once and to write its outputs once. torch's `FlopCounterMode`
    fails for gradients of gradients in some networks.
    """

    flop = 0
    bytes = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            self.flop += formula(*args, **kwargs, out_val=result)
        given = [one for one in tree_leaves((args, kwargs)) if isinstance(one, Tensor)]
        new = [one for one in tree_leaves(result) if isinstance(one, Tensor)]
        memory = {one.untyped_storage()._cdata for one in given}
        views = not func._schema.is_mutable and all(one.untyped_storage()._cdata in memory for one in new)
        if not views:
            self.bytes += sum(one.numel() * one.element_size() for one in given + new)
        return result


class Energy:
    """Joules of a GPU, from NVML's counter or from the power that nvidia-smi shows; None without either."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.name = device, ""
        self.counter: Callable[[], float] | None = None
        if device.type != "cuda":
            return
        with contextlib.suppress(Exception):  # not installed, or a GPU without a counter
            self.name = f"GPU-{torch.cuda.get_device_properties(device).uuid}"
            import pynvml

            pynvml.nvmlInit()
            handle = pynvml.nvmlDeviceGetHandleByUUID(self.name)
            pynvml.nvmlDeviceGetTotalEnergyConsumption(handle)
            self.counter = lambda: pynvml.nvmlDeviceGetTotalEnergyConsumption(handle) * WATT_SECONDS

    def measured(self, run: Callable[[], object]) -> tuple[float, float | None]:
        """The seconds that `run` takes on the device, and the joules."""
        if self.counter:
            before = self.counter()
            taken = seconds(run, self.device)
            return taken, self.counter() - before
        powers: list[float | None] = []
        taken = seconds(run, self.device, lambda: powers.append(self.watts()))
        known = [power * taken for power in powers if power is not None]
        return taken, known[0] if known else None

    def watts(self) -> float | None:
        """The power at this moment, while the device works off what is queued."""
        if not self.name or not shutil.which("nvidia-smi"):
            return None
        query = ["nvidia-smi", "-i", self.name, "--query-gpu=power.draw", "--format=csv,noheader,nounits"]
        answer = subprocess.run(query, capture_output=True, text=True, check=False)
        with contextlib.suppress(ValueError):
            return float(answer.stdout)
        return None
