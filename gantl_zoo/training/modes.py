"""Modes of torch that the caller may have set: training replaces them, and restores them afterwards."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import torch

from gantl_zoo.seeding import seeded


@contextlib.contextmanager
def training_modes() -> Iterator[None]:
    """Gradients, float32 and the CPU as defaults and no autocast inside, whatever the caller has set: a run
    under `torch.no_grad()` or `torch.inference_mode()` trains as any other.
    """
    dtype = torch.get_default_dtype()
    with contextlib.ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        if torch.get_default_device().type != "cpu":  # a device context slows every call of torch
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
    """Random numbers from `seed` inside; these, the grad mode and the default dtype are restored after it."""
    with seeded(seed), modes_restored():
        yield


@contextlib.contextmanager
def modes_restored() -> Iterator[None]:
    """Restores the grad mode and the default dtype, whatever is set inside."""
    dtype = torch.get_default_dtype()
    with torch.set_grad_enabled(torch.is_grad_enabled()):
        try:
            yield
        finally:
            torch.set_default_dtype(dtype)
