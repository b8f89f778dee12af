"""`Engine`: device, precision, memory format, threads and allocator of a run.

`choose` changes nothing in this process; `Engine.applied` applies the settings and restores them afterwards.
"""

from __future__ import annotations

import contextlib
import platform
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.model.place import usable_device
from gantl_zoo.registry.arguments import misfit
from gantl_zoo.training import applied
from gantl_zoo.training.batchnorm import SyncedBatchNorm
from gantl_zoo.training.engine_settings import PRECISIONS, check
from gantl_zoo.training.matrix_products import MatrixProducts
from gantl_zoo.training.processes import Processes, join


@dataclass(frozen=True)
class Engine:
    """Device, precision and other settings of computation."""

    device: torch.device
    precision: str  # "fp32", "bf16" or "fp16"
    memory_format: str = "channels-last"  # faster in oneDNN and cuDNN
    optimizer: str = "fused"
    allocator: str = "default"
    batchnorm: str = "synced"  # statistics of all processes' images, or of each process's "own"
    compile: bool = False
    graphs: bool = False  # CUDA graphs, for adversarial training on one GPU
    workers: int = 2  # processes that decode streamed images
    threads: int = 0  # of this process; 0: as many as torch chooses
    processes: Processes = field(default_factory=Processes)

    @contextlib.contextmanager
    def autocast(self) -> Iterator[None]:
        """Context: convolutions and matrix products in the chosen precision, losses and norms in float32.

        BatchNorm uses the images of all processes, unless `batchnorm` is "own".
        """
        with contextlib.ExitStack() as contexts:
            if self.precision != "fp32":
                dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
                contexts.enter_context(torch.autocast(self.device.type, dtype=dtype))
            if self.batchnorm == "synced" and self.processes.count > 1:
                contexts.enter_context(SyncedBatchNorm(self.processes))
            if self.precision == "bf16" and self.device.type == "cpu" and not self.compile and has_amx():
                contexts.enter_context(MatrixProducts())
            yield

    def applied(self) -> contextlib.AbstractContextManager[None]:
        """Apply the settings for threads, allocator and cuDNN inside, and restore them afterwards.

        Such contexts may be nested, and may overlap in several threads.
        """
        deterministic = self.precision == "fp32"
        search = self.device.type == "cuda" and not deterministic
        return applied.settings(
            applied.Settings(self.threads, deterministic, self.allocator == "keep", search)
        )

    @property
    def layout(self) -> torch.memory_format:
        """The memory format of images and weights."""
        return torch.channels_last if self.memory_format == "channels-last" else torch.contiguous_format

    def upload(self, tensor: Tensor) -> Tensor:
        """The tensor on the device. The host does not wait until it has been copied to a GPU."""
        if self.device.type == "cuda" and tensor.device.type == "cpu":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def place(self, network: nn.Module) -> None:
        """Move a network to the device and the chosen memory format; compile it if `compile`."""
        network.to(self.device)
        network.to(memory_format=self.layout)
        if self.compile:
            network.compile()

    def __str__(self) -> str:
        words = [f"{self.device} in {self.precision}", self.memory_format, f"{self.optimizer} Adam"]
        if self.device.type == "cpu":
            kept = {"keep": "freed memory kept", "default": "the C library's allocator"}
            threads = self.threads or torch.get_num_threads()
            words += [kept[self.allocator], f"{threads} thread{'s' if threads > 1 else ''}"]
        words += ["compiled"] if self.compile else []
        words += ["CUDA graphs"] if self.graphs else []
        if self.processes.count > 1:
            words += [f"{self.processes.count} processes", f"{self.batchnorm} BatchNorm statistics"]
        return ", ".join(words)


def choose(
    device: str = "auto", precision: str = "auto", settings: Mapping[str, Any] | None = None
) -> Engine:
    """Choose an engine. Changes nothing in this process; see `Engine.applied`.

    `device` "auto" is a GPU if there is one; `precision` "auto" is bf16 if the processor multiplies it in
    hardware, else fp32. `settings` are `memory_format`, `optimizer`, `allocator`, `batchnorm`, `threads`,
    `workers`, `compile` and `graphs`. If a launcher started several processes, they connect here. Raises
    `UsageError`.
    """
    if wrong := misfit(choose, {"device": device, "precision": precision}):
        raise UsageError(wrong)
    if precision not in PRECISIONS:
        raise UsageError(unknown("precision", precision, PRECISIONS))
    values = check(settings or {})
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    processes = join(device.partition(":")[0])
    chosen = processes.device or usable_device(device)
    if precision == "auto":
        precision = "bf16" if fast_bf16(chosen) else "fp32"
    if precision == "fp16" and chosen.type == "cpu":
        raise UsageError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if values["allocator"] == "auto":
        values["allocator"] = (
            "keep" if chosen.type == "cpu" and platform.libc_ver()[0] == "glibc" else "default"
        )
    if values["compile"] and values["batchnorm"] == "synced":
        raise UsageError("compiled networks can't sync BatchNorm: compile or batchnorm=synced, not both")
    defaults = {"memory_format": "channels-last", "optimizer": "fused"}
    defaults["batchnorm"] = "own" if values["compile"] else "synced"
    for name, value in defaults.items():
        values[name] = value if values[name] == "auto" else values[name]
    return Engine(chosen, precision, processes=processes, **values)


def fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))


def has_amx() -> bool:
    """Whether the processor multiplies matrices of bfloat16 in a unit of their own."""
    return bool(capabilities().get("amx_bf16"))


@cache
def capabilities() -> dict[str, Any]:
    """What the processor can do; empty in older versions of torch."""
    read: Any = getattr(torch.cpu, "get_capabilities", dict)
    return dict(read())
