"""Lines for people on standard error, for every room. `print` would choose standard output without one."""

from __future__ import annotations

import sys


def say(text: str) -> bool:
    """Print a line on standard error, unprintable characters escaped. Never raises; False if it is lost."""
    stream = sys.stderr
    if stream is None:  # closed before the start, or a program without a terminal
        return False
    encoding = getattr(stream, "encoding", None) or "utf-8"
    try:
        print(text.encode(encoding, "backslashreplace").decode(encoding), file=stream, flush=True)
    except (OSError, ValueError):  # the reader has gone, or the stream is closed
        return False
    return True
