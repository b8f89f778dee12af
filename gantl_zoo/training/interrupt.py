"""Ctrl-C: the first asks the run to stop cleanly, the second leaves at once; a lost terminal asks, too."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

HANGUP = getattr(signal, "SIGHUP", None)  # not on Windows
TWICE = 0.3  # seconds within which a launcher may pass on the signal that the terminal has sent already


class Interrupt:
    """While inside, SIGINT, SIGTERM and SIGHUP only set `asked`; a second SIGINT or SIGTERM is a
    KeyboardInterrupt. A SIGHUP that is ignored, as under nohup, stays ignored.
    """

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # handlers can be set nowhere else
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
        impatient = number != HANGUP  # the kernel and the shell may both send that one
        if self.asked and impatient and time.monotonic() - self._when > TWICE:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._when = True, time.monotonic()
