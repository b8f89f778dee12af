"""Settings of the whole process that a run needs, held while it runs: threads, cuDNN, glibc's allocator."""

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
    """What a run wants of its process."""

    threads: int = 0  # 0: as they are
    deterministic: bool = False  # cuDNN takes algorithms whose results repeat
    keep_memory: bool = False  # glibc keeps freed memory


_lock = threading.Lock()
_held: list[Settings] = []  # those of the runs that are running, the newest last
_before: list[tuple[int, bool]] = []  # the process's own threads and cuDNN setting, while anything is held


@contextlib.contextmanager
def settings(wanted: Settings) -> Iterator[None]:
    """Hold `wanted`; afterwards the settings of the runs that are still running, or the process's own."""
    mine = Settings(**vars(wanted))  # an object of its own: `_held` is searched by identity
    with _lock:
        if not _held:
            _before[:] = [(torch.get_num_threads(), torch.backends.cudnn.deterministic)]
        _change([*_held, mine])
    try:
        yield
    finally:
        with _lock:
            _change([other for other in _held if other is not mine])


def _change(held: list[Settings]) -> None:
    threads, deterministic = _before[0]
    threads = next((other.threads for other in reversed(held) if other.threads), threads)
    if threads != torch.get_num_threads():  # setting them starts threads anew
        torch.set_num_threads(threads)
    torch.backends.cudnn.deterministic = deterministic or any(other.deterministic for other in held)
    kept, keep = (any(other.keep_memory for other in runs) for runs in (_held, held))
    if kept != keep:
        _allocate(KEEP if keep else DEFAULT)
    _held[:] = held


def _allocate(options: dict[int, int]) -> None:
    """Tell glibc whether to keep freed memory: without that, each step returns its activations to the kernel
    and faults them in again. Elsewhere nothing happens.
    """
    with contextlib.suppress(OSError, AttributeError):
        libc = _libc()
        for option, value in options.items():
            libc.mallopt(option, value)
        if options is DEFAULT:
            libc.malloc_trim(0)


def _libc() -> Any:
    return ctypes.CDLL(ctypes.util.find_library("c"))
