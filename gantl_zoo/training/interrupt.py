"""`Interrupt`: the first Ctrl-C stops a run cleanly after the current step, the second one at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
TWICE = 0.3  # seconds within which a launcher may repeat a signal that the terminal has already sent


class Interrupt:
    """Context in which SIGINT, SIGTERM and SIGHUP (a closed terminal) only set `asked`.

    A second SIGINT or SIGTERM raises `KeyboardInterrupt`. SIGHUP stays ignored if it was, as under nohup.
    """

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # only this thread can set handlers
            numbers = [signal.SIGINT, signal.SIGTERM]
            if HANGUP is not None and signal.getsignal(HANGUP) is not signal.SIG_IGN:
                numbers.append(HANGUP)
            for number in numbers:
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        forcing = number != HANGUP  # the kernel and the shell may both send SIGHUP
        if self.asked and forcing and time.monotonic() - self._when > TWICE:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._when = True, time.monotonic()
