"""What a run would do and how long it takes: `--dry-run` of its command, in a process of its own.

That measures the speed of a few steps, for which it sets the threads of its process; so it can't run here.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Awaitable, Callable
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.runs.dry_run import LABEL
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.job import PROGRAM
from gantl_zoo.studio.order import Order
from gantl_zoo.studio.settings import Settings

PATIENCE = 300.0  # seconds
PAUSE = 0.2  # seconds between two looks at the visitor
Gone = Callable[[], Awaitable[bool]]
NAMES = {"estimate": "Time and memory", "data": "Images"}
FIRST = "Time and memory"


class Left(Exception):
    """The visitor does not wait any more."""


async def plan_of(settings: Settings, order: Order, gone: Gone) -> list[tuple[str, str]]:
    """The rows of the plan: a label and a text.

    Raises `UsageError` with the command's own message if the run is refused, and `Left` if `gone` says so.
    """
    words = [sys.executable, "-c", PROGRAM, *order.words, "--dry-run"]
    pipes: dict[str, Any] = {"stdout": asyncio.subprocess.PIPE, "stderr": asyncio.subprocess.PIPE}
    nothing = asyncio.subprocess.DEVNULL
    process = await asyncio.create_subprocess_exec(*words, cwd=settings.root, stdin=nothing, **pipes)
    reading = asyncio.ensure_future(process.communicate())
    try:
        out, err = await wait_for(reading, gone)
    except BaseException:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await reading
        raise
    if process.returncode:
        raise UsageError(message_in(err.decode(errors="replace")))
    return sorted(rows_of(out.decode(errors="replace")), key=lambda row: row[0] != FIRST)


async def wait_for(reading: asyncio.Future[tuple[bytes, bytes]], gone: Gone) -> tuple[bytes, bytes]:
    """What the process printed. Raises `Left`, and `UsageError` after `PATIENCE` seconds."""
    waited = 0.0
    while not (await asyncio.wait([reading], timeout=PAUSE))[0]:
        waited += PAUSE
        if await gone():
            raise Left
        if waited > PATIENCE:
            raise UsageError("the plan takes too long; start the run with fewer images or smaller ones")
    return reading.result()


def message_in(text: str) -> str:
    """The message of an error that the command line printed."""
    lines = [line for line in text.splitlines() if line.startswith("error")]
    return printable(lines[-1].partition(": ")[2] if lines else "the plan could not be computed", 600)


def rows_of(text: str, width: int = LABEL, hanging: str = "  ") -> list[tuple[str, str]]:
    """The rows of a text with labels in its first `width` columns, such as that of a dry run.

    A line that begins with `hanging` after these columns continues the one above; another one without a label
    is a new line of the same row.
    """
    rows: list[tuple[str, str]] = []
    for line in text.splitlines():
        label, rest = line[:width].strip(), line[width:]
        if label or not rows:
            rows.append((NAMES.get(label, label.capitalize()), rest.strip()))
        else:
            joint = " " if rest.startswith(hanging) else "\n"
            rows[-1] = (rows[-1][0], rows[-1][1] + joint + rest.strip())
    return rows
