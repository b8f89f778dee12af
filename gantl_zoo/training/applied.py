"""Process-wide settings of a run, restored afterwards: threads, cuDNN, glibc's allocator."""

from __future__ import annotations

import contextlib
import ctypes
import ctypes.util
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # <malloc.h>
KEEP = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: (1 << 31) - 1}
DEFAULT = {M_MMAP_MAX: 65_536, M_TRIM_THRESHOLD: 128 * 1024}  # mallopt(3)


@dataclass(frozen=True)
class Settings:
    """Process-wide settings of one run."""

    threads: int = 0  # 0: unchanged
    deterministic: bool = False  # cuDNN uses deterministic algorithms only
    keep_memory: bool = False  # glibc keeps freed memory
    search: bool = False  # cuDNN tries its algorithms for each new shape, and takes the fastest


_lock = threading.Lock()
_active: list[Settings] = []  # settings of all current runs, the newest last
_before: list[tuple[int, bool, bool]] = []  # the process's own threads and cuDNN settings, during a run


@contextlib.contextmanager
def settings(requested: Settings) -> Iterator[None]:
    """Apply the settings inside; then return to those of the remaining runs, or of the process itself."""
    mine = Settings(**vars(requested))  # a copy, because `_active` is searched by identity
    with _lock:
        if not _active:
            cudnn = torch.backends.cudnn
            _before[:] = [(torch.get_num_threads(), cudnn.deterministic, cudnn.benchmark)]
        _change([*_active, mine])
    try:
        yield
    finally:
        with _lock:
            _change([other for other in _active if other is not mine])


def _change(active: list[Settings]) -> None:
    """Apply the settings of the runs in `active`; for threads the newest one wins."""
    threads, deterministic, search = _before[0]
    threads = next((other.threads for other in reversed(active) if other.threads), threads)
    if threads != torch.get_num_threads():  # setting them restarts the thread pool
        torch.set_num_threads(threads)
    exact = any(other.deterministic for other in active)
    torch.backends.cudnn.deterministic = deterministic or exact
    torch.backends.cudnn.benchmark = not exact and (search or any(other.search for other in active))
    was_kept, keep = (any(other.keep_memory for other in runs) for runs in (_active, active))
    if was_kept != keep:
        _allocate(KEEP if keep else DEFAULT)
    _active[:] = active


def _allocate(options: dict[int, int]) -> None:
    """Configure whether glibc keeps freed memory; without glibc this does nothing.

    By default each step returns the memory of its activations to the kernel, then page-faults it in again.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = _libc()
        for option, value in options.items():
            libc.mallopt(option, value)
        if options is DEFAULT:
            libc.malloc_trim(0)


def _libc() -> Any:
    return ctypes.CDLL(ctypes.util.find_library("c"))
