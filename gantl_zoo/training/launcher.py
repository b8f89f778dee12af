"""Environment variables that launchers (torchrun, accelerate, mpirun) set for each process. No torch.

Shells, containers and batch jobs may contain leftover variables: empty ones count as unset, and invalid ones
raise `UsageError`.
"""

from __future__ import annotations

import os

from gantl_zoo.errors import UsageError

# in the order in which accelerate reads them
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
LOCAL = (
    "LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE",
)  # fmt: skip
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
REMEDY = "unset it for a single process, or start with torchrun or accelerate launch"


def launched() -> str:
    """For example "WORLD_SIZE=2" if a launcher started several processes, else "".

    Raises `UsageError` for a size that is not a positive number.
    """
    name = next((name for name in SIZES if _value(name)), "")
    return f"{name}={_value(name)}" if name and _number(name, 1) > 1 else ""


def is_main() -> bool:
    """Whether this is the main process: the one of rank 0, or the only one."""
    return not launched() or rank() == 0


def rank() -> int:
    """The rank of this process; 0 without a launcher. Raises `UsageError` for an invalid rank."""
    return next((_number(name, 0) for name in RANKS if _value(name)), 0)


def prefix() -> str:
    """For error messages: for example " in process 1" if there are several processes, else ""."""
    try:
        ranked = launched() and any(_value(name) for name in RANKS)
        return f" in process {rank()}" if ranked else ""
    except UsageError:
        return ""


def check() -> None:
    """Check that the variables are valid and complete. Raises `UsageError` with the name of a wrong one.

    Removes empty variables, because accelerate and torch would parse them as numbers.
    """
    for name in (*SIZES, *RANKS, *LOCAL, *ADDRESS):
        if not _value(name):
            os.environ.pop(name, None)
    if not (size := launched()):
        return
    name, _, count = size.partition("=")
    rank_name = next((name for name in RANKS if _value(name)), "")
    if not rank_name:
        raise UsageError(f"{size} is set without {RANKS[SIZES.index(name)]}: {REMEDY}")
    if rank() >= int(count):
        raise UsageError(f"{rank_name}={_value(rank_name)} is not below {size}: {REMEDY}")
    for name in (*SIZES, *RANKS, *LOCAL, "MASTER_PORT"):
        _number(name, int(name in SIZES))
    if not _value("MASTER_ADDR"):
        raise UsageError(
            f"{size} is set without MASTER_ADDR, the address of the main process: {REMEDY} (under mpirun, "
            "export MASTER_ADDR and MASTER_PORT)"
        )


def _value(name: str) -> str:
    return os.environ.get(name, "").strip()


def _number(name: str, least: int) -> int:
    """The variable's value; `least` if it is unset or empty."""
    value = _value(name)
    if value and not (value.isascii() and value.isdecimal() and int(value) >= least):
        raise UsageError(f"{name}={value!r} is not a number from {least}: {REMEDY}")
    return int(value or least)
