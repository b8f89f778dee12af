"""Check devices and dtypes by name before a model is loaded."""

from __future__ import annotations

import torch

from gantl_zoo.errors import UsageError, unknown

DEVICES = ("auto", "cpu", "cuda", "cuda:1", "mps", "xpu")
DTYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "float64": torch.float64,
}


def usable_device(device: str | int | torch.device) -> torch.device:
    """The device of that name or number; "auto" is a GPU if there is one.

    Raises `UsageError` for a device that this machine, or this build of PyTorch, does not have.
    """
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError, ValueError):  # torch's own message lists twenty device types
        raise UsageError(unknown("device", str(device), DEVICES)) from None
    if chosen.type == "meta":
        raise UsageError("device 'meta' stores shapes without values; choose another device, such as 'cpu'")
    try:
        torch.empty(1, device=chosen)
    except (RuntimeError, AssertionError, ImportError) as error:
        cause = str(error).splitlines()[0].partition(". ")[0]  # the next sentences are about building torch
        raise UsageError(f"device {str(device)!r} can't be used here: {cause}; try 'cpu'") from None
    return chosen


def float_dtype(dtype: str | torch.dtype) -> torch.dtype:
    """The dtype float32, float16, bfloat16 or float64 of that name. Raises `UsageError` for any other."""
    name = str(dtype).removeprefix("torch.")
    if not isinstance(dtype, (str, torch.dtype)) or name not in DTYPES:
        raise UsageError(unknown("dtype", name, DTYPES))
    return DTYPES[name]
