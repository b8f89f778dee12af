"""`Engine`: device, precision, memory format, threads and allocator of a run.

`choose` only decides; what a choice changes in this process holds within `Engine.applied` and no longer.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.registry.arguments import misfit
from gantl_zoo.training import applied
from gantl_zoo.training.engine_settings import PRECISIONS, check
from gantl_zoo.training.processes import Processes, join

# as in torch; "auto": a GPU if there is one
DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")


@dataclass(frozen=True)
class Engine:
    """Where and how a step computes."""

    device: torch.device
    precision: str  # "fp32", "bf16" or "fp16"
    memory_format: str = "channels-last"  # what oneDNN and cuDNN prefer
    optimizer: str = "fused"
    allocator: str = "default"
    compile: bool = False
    workers: int = 2  # processes that decode streamed images
    threads: int = 0  # of this process; 0: as many as torch chooses
    processes: Processes = field(default_factory=Processes)

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Convolutions and matrix products in the chosen precision; losses and norms in float32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def applied(self) -> contextlib.AbstractContextManager[None]:
        """Threads, allocator and cuDNN as this engine needs them; the process's own settings afterwards.

        Runs may be nested, and may overlap in several threads.
        """
        deterministic = self.precision == "fp32"
        return applied.settings(applied.Settings(self.threads, deterministic, self.allocator == "keep"))

    @property
    def layout(self) -> torch.memory_format:
        """How images and weights lie in memory."""
        return torch.channels_last if self.memory_format == "channels-last" else torch.contiguous_format

    def place(self, network: nn.Module) -> None:
        """Move a network to the device, in the chosen memory format."""
        network.to(self.device)
        network.to(memory_format=self.layout)
        if self.compile:
            network.compile()

    def __str__(self) -> str:
        said = [f"{self.device} in {self.precision}", self.memory_format, f"{self.optimizer} Adam"]
        if self.device.type == "cpu":
            kept = {"keep": "freed memory kept", "default": "the C library's allocator"}
            said += [kept[self.allocator], f"{self.threads or torch.get_num_threads()} threads"]
        said += ["compiled"] if self.compile else []
        said += [f"{self.processes.count} processes"] if self.processes.count > 1 else []
        return ", ".join(said)


def choose(
    device: str = "auto", precision: str = "auto", settings: Mapping[str, Any] | None = None
) -> Engine:
    """The engine for `device` ("auto": a GPU if there is one) and `precision` ("auto": bf16 if fast). Changes
    nothing in this process: see `Engine.applied`.

    `settings` override the rest: `memory_format`, `optimizer`, `allocator`, `threads`, `workers`, `compile`.
    Under a launcher the processes join here. Raises `UsageError`.
    """
    if wrong := misfit(choose, {"device": device, "precision": precision}):
        raise UsageError(wrong)
    if precision not in PRECISIONS:
        raise UsageError(unknown("precision", precision, PRECISIONS))
    wanted = check(settings or {})
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    processes = join(device.partition(":")[0])
    chosen = processes.device or _usable(device)
    if precision == "auto":
        precision = "bf16" if fast_bf16(chosen) else "fp32"
    if precision == "fp16" and chosen.type == "cpu":
        raise UsageError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if wanted["allocator"] == "auto":
        wanted["allocator"] = (
            "keep" if chosen.type == "cpu" and platform.libc_ver()[0] == "glibc" else "default"
        )
    usual = {"memory_format": "channels-last", "optimizer": "fused"}
    for name, value in usual.items():
        wanted[name] = value if wanted[name] == "auto" else wanted[name]
    return Engine(chosen, precision, processes=processes, **wanted)


def _usable(device: str) -> torch.device:
    try:
        chosen = torch.device(device)
    except RuntimeError as error:  # its text lists all twenty kinds that torch was ever built for
        raise UsageError(unknown("device", device, DEVICES)) from error
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0].partition(". ")[0]  # then comes advice for those who build torch
        raise UsageError(f"device {device!r} can't be used here: {cause}; try --device cpu") from error
    return chosen


def fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    ask: Any = getattr(torch.cpu, "get_capabilities", dict)  # an older torch tells nothing
    features = ask()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))
