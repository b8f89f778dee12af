"""Standard output and standard error as a verb needs them: printing never raises and never ends a run."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from typing import Any, TextIO

GONE = (errno.EPIPE, errno.EIO, errno.EBADF)  # the reader, the terminal or the descriptor has been closed


class Forgiving(io.FileIO):
    """A descriptor that drops what can't be written; `lost` is the error that came first."""

    lost: OSError | None = None

    def write(self, data: Any) -> int:
        while self.lost is None:
            try:
                written = super().write(data)
            except OSError as error:
                self.lost = error
                break
            if written is not None:
                return written
            select.select([], [self], [])  # a pipe or terminal that another program has set to not block
        return memoryview(data).nbytes


def guard() -> None:
    """Replace the process's own streams; those of a caller, such as a test, only escape from now on."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        stream: TextIO | None = getattr(sys, name)
        if stream is None:  # closed before the start
            _fill(number)
            setattr(sys, name, _text(number, "utf-8") if number else io.StringIO())
        elif number and stream is getattr(sys, f"__{name}__") and os.name == "posix":
            with contextlib.suppress(OSError, ValueError):
                stream.flush()
            setattr(sys, name, _text(number, stream.encoding))
        elif number and isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def finish(code: int) -> int:
    """The exit code after all output is written: 1 if results could not be written."""
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    lost = raw.lost if isinstance(raw, Forgiving) else None
    if lost is None or lost.errno in GONE:
        return code
    print(f"error: can't write to standard output: {lost.strerror}", file=sys.stderr)
    return code or 1


def _text(number: int, encoding: str) -> io.TextIOWrapper:
    raw = io.BufferedWriter(Forgiving(number, "wb", closefd=False))
    return io.TextIOWrapper(raw, encoding, errors="backslashreplace", line_buffering=True)


def _fill(number: int) -> None:
    """Open the null device in place of a closed descriptor: the next file would get its number, and with it
    what libraries write to standard error.
    """
    try:
        os.fstat(number)
    except OSError:
        os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)  # the lowest free number
