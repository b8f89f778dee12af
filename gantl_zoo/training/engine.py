"""What the machine is good at: device, precision, memory format, allocator. Chosen once, then told."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import platform
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import nn

from gantl_zoo.errors import UsageError

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>


@dataclass(frozen=True)
class Engine:
    """Where and how precisely a step computes."""

    device: torch.device
    precision: str  # "fp32", "bf16" or "fp16"

    def autocast(self) -> contextlib.AbstractContextManager[object]:
        """Convolutions and matrix products in the chosen precision; losses and norms in float32."""
        if self.precision == "fp32":
            return contextlib.nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def place(self, network: nn.Module) -> None:
        """Move a network to the device, weights channels-last (oneDNN and cuDNN prefer it)."""
        network.to(self.device)
        network.to(memory_format=torch.channels_last)

    def __str__(self) -> str:
        threads = f", {torch.get_num_threads()} threads" if self.device.type == "cpu" else ""
        return f"{self.device} in {self.precision}, channels-last, fused Adam{threads}"


def choose(device: str = "auto", precision: str = "auto") -> Engine:
    """The engine for `device` ("auto": a GPU if there is one) and `precision` ("auto": bf16 if fast)."""
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        chosen = torch.device(device)
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError) as error:
        cause = str(error).splitlines()[0]
        raise UsageError(f"device {device!r} can't be used here: {cause}; try --device cpu") from error
    if precision == "auto":
        precision = "bf16" if fast_bf16(chosen) else "fp32"
    if precision == "fp16" and chosen.type == "cpu":
        raise UsageError("precision fp16 needs a GPU; on a CPU use bf16 or fp32")
    if chosen.type == "cpu":
        keep_memory()
    return Engine(chosen, precision)


@contextlib.contextmanager
def seeded(seed: int) -> Iterator[None]:
    """Chance from `seed` inside, the caller's own chance untouched afterwards."""
    devices = range(torch.cuda.device_count()) if torch.cuda.is_available() else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def fast_bf16(device: torch.device) -> bool:
    """Whether the processor multiplies bfloat16 in hardware."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    features = torch.cpu.get_capabilities()
    return bool(features.get("avx512_bf16") or features.get("amx_bf16") or features.get("bf16"))


def keep_memory() -> None:
    """Ask glibc to keep freed memory: else each step returns its activations to the kernel and faults
    them in again. Elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return
    with contextlib.suppress(OSError, AttributeError):
        libc = ctypes.CDLL(ctypes.util.find_library("c"))
        libc.mallopt(M_MMAP_MAX, 0)
        libc.mallopt(M_TRIM_THRESHOLD, (1 << 31) - 1)
