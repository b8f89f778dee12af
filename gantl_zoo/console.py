"""Messages for users: records of the logger `gantl_zoo`, printed on standard error.

A program's own handlers get the records, too. If one of them writes to a terminal, our handler prints
nothing, so that no line appears twice. `logging.getLogger("gantl_zoo").setLevel("WARNING")` leaves only
warnings.
"""

from __future__ import annotations

import io
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache

LOGGER = "gantl_zoo"
_collected: ContextVar[list[str] | None] = ContextVar("collected", default=None)


def say(text: str, *, quiet: bool = False) -> None:
    """Log a line at level INFO; with `quiet` it is not printed. Never raises."""
    logger().info(encodable(text), extra={"quiet": quiet}, stacklevel=2)


def warn(text: str) -> None:
    """Log a warning, which is printed as "warning: …"; inside `collected`, add it to the list instead.

    Never raises.
    """
    if (texts := _collected.get()) is not None:
        texts.append(text)
        return
    logger().warning(encodable(text), extra={"quiet": False}, stacklevel=2)


def encodable(text: str) -> str:
    """The text with what UTF-8 can't encode escaped: a path may hold such characters, and a handler of the
    program may write to a file or a socket.
    """
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


@contextmanager
def collected() -> Iterator[list[str]]:
    """Collect the texts of warnings in a list instead of logging them."""
    texts: list[str] = []
    token = _collected.set(texts)
    try:
        yield texts
    finally:
        _collected.reset(token)


def silent(quiet: bool, progress: bool | None) -> bool:
    """Whether a command prints no messages: `progress` decides if given, otherwise `quiet`."""
    return quiet if progress is None else not progress


@cache
def logger() -> logging.Logger:
    """The logger, with the handler that prints; a level that the program has set is kept."""
    log = logging.getLogger(LOGGER)
    if log.level == logging.NOTSET:
        log.setLevel(logging.INFO)
    log.addHandler(StandardError())
    return log


class StandardError(logging.Handler):
    """Print messages on the current `sys.stderr`, with unprintable characters escaped."""

    lost: object = None  # a stream that has failed and is not written again

    def emit(self, record: logging.LogRecord) -> None:
        stream = sys.stderr
        # None: closed before the start, or a program without a terminal
        if stream is None or stream is self.lost or getattr(record, "quiet", False) or printed(self):
            return
        text = record.getMessage()
        text = f"warning: {text}" if record.levelno >= logging.WARNING else text
        encoding = getattr(stream, "encoding", None) or "utf-8"
        try:
            print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
        except (OSError, ValueError):  # a broken pipe, or a closed stream
            self.lost = stream


def printed(own: logging.Handler) -> bool:
    """Whether another handler of the logger, or of the root logger, writes to a terminal."""
    log = logging.getLogger(LOGGER)
    handlers = [*log.handlers, *(logging.root.handlers if log.propagate else [])]
    return any(handler is not own and to_terminal(handler) for handler in handlers)


def to_terminal(handler: logging.Handler) -> bool:
    """Whether a handler writes neither to a file nor to a string; rich's handler has a `console`."""
    if isinstance(handler, logging.FileHandler) or not isinstance(handler, logging.StreamHandler):
        return hasattr(handler, "console")
    return not isinstance(handler.stream, io.StringIO)
