"""What a launcher (torchrun, accelerate, mpirun) says of this process, in environment variables. No torch.

Variables also stay behind, in shells, containers and batch jobs: an empty one counts as unset, and one that
can't be true is refused by its name.
"""

from __future__ import annotations

import os

from gantl_zoo.errors import UsageError

# in accelerate's order
SIZES = ("WORLD_SIZE", "PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")
RANKS = ("RANK", "PMI_RANK", "OMPI_COMM_WORLD_RANK", "MV2_COMM_WORLD_RANK")
LOCAL = (
    "LOCAL_RANK", "MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK", "MV2_COMM_WORLD_LOCAL_RANK",
    "LOCAL_WORLD_SIZE", "MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE",
)  # fmt: skip
ADDRESS = ("MASTER_ADDR", "MASTER_PORT")
REMEDY = "unset it for a single process, or start with torchrun or accelerate launch"


def launched() -> str:
    """`"WORLD_SIZE=2"` where a launcher has started this process among others, else "".

    Raises `UsageError` for a size that is not a number from 1.
    """
    name = next((name for name in SIZES if _value(name)), "")
    return f"{name}={_value(name)}" if name and _number(name, 1) > 1 else ""


def is_main() -> bool:
    """Whether this process is the one that prints: the launcher's first, or the only one."""
    return not launched() or rank() == 0


def rank() -> int:
    """This process's number among those of the launcher. Raises `UsageError` for what is not a number."""
    return next((_number(name, 0) for name in RANKS if _value(name)), 0)


def prefix() -> str:
    """What stands before an error message of one of several processes, " in process 1"; else ""."""
    try:
        there = launched() and any(_value(name) for name in RANKS)
        return f" in process {rank()}" if there else ""
    except UsageError:
        return ""


def check() -> None:
    """The variables describe a process that can meet the others. Raises `UsageError` that names one.

    Empty ones are removed, since accelerate and torch take them for numbers.
    """
    for name in (*SIZES, *RANKS, *LOCAL, *ADDRESS):
        if not _value(name):
            os.environ.pop(name, None)
    if not (size := launched()):
        return
    name, _, count = size.partition("=")
    mine = next((name for name in RANKS if _value(name)), "")
    if not mine:
        raise UsageError(f"{size} is set without {RANKS[SIZES.index(name)]}: {REMEDY}")
    if rank() >= int(count):
        raise UsageError(f"{mine}={_value(mine)} is not below {size}: {REMEDY}")
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
