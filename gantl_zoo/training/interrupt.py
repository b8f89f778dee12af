"""Ctrl-C: the first asks the run to stop cleanly, the second leaves at once."""

from __future__ import annotations

import signal
import threading
import time
from types import FrameType
from typing import Any

TWICE = 0.3  # seconds within which a launcher may pass on the signal that the terminal has sent already


class Interrupt:
    """While inside, SIGINT and SIGTERM only set `asked`; a second one is a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.asked = False
        self._when = 0.0
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Interrupt:
        if threading.current_thread() is threading.main_thread():  # handlers can be set nowhere else
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._on_signal)
        return self

    def __exit__(self, *exception: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.asked and time.monotonic() - self._when > TWICE:
            raise KeyboardInterrupt
        if not self.asked:
            self.asked, self._when = True, time.monotonic()
