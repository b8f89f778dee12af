"""Context managers for torch's global modes: training sets them, and restores the caller's afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from gantl_zoo.seeding import seeded


@contextlib.contextmanager
def training_modes() -> Iterator[None]:
    """Enable gradients, disable autocast, and set default dtype and device to float32 and the CPU.

    So a run works under `torch.no_grad()` or `torch.inference_mode()`, too. Restores all modes afterwards.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # otherwise it would only slow down all torch calls
            stack.enter_context(torch.device("cpu"))
        for kind in ("cpu", "cuda"):
            if torch.is_autocast_enabled(kind):
                stack.enter_context(torch.autocast(kind, enabled=False))
        torch.set_default_dtype(torch.float32)
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)


@contextlib.contextmanager
def isolated(seed: int) -> Iterator[None]:
    """Seed the random numbers inside; restore their state, the grad mode and the default dtype."""
    with seeded(seed), modes_restored():
        yield


@contextlib.contextmanager
def modes_restored() -> Iterator[None]:
    """Restore the grad mode and the default dtype afterwards."""
    dtype = torch.get_default_dtype()
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
