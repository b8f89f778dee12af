"""`Queue`: the jobs on disk. It keeps nothing in memory, so that a new studio continues where one ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.storage.untrusted import printable
from gantl_zoo.studio.job import (
    OUTPUT,
    STOP,
    is_alive,
    is_orphan,
    is_starting,
    new_run,
    read_json,
    write_json,
)  # fmt: skip
from gantl_zoo.studio.order import Order
from gantl_zoo.studio.settings import Settings

MODULE = ["-m", "gantl_zoo.studio.job"]
SHOWN = 50  # finished jobs that are listed
STOPPED = (130, -15, 143)  # exit status of a command that was interrupted


@dataclass(frozen=True)
class Entry:
    """One job. While it is active, its `state` is waiting, starting, running or stopping."""

    number: int
    label: str
    words: tuple[str, ...]
    state: str  # afterwards: finished, stopped, cancelled, failed or lost
    run: str = ""  # the name of its run folder, once there is one
    message: str = ""  # why it failed

    @property
    def active(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("waiting", "starting", "running", "stopping")


class Queue:
    """The jobs of a studio, one at a time, in the order of their numbers."""

    def __init__(self, settings: Settings) -> None:
        self.settings, self.folder = settings, settings.jobs

    def add(self, order: Order) -> Entry:
        """Add a job, whose process starts now and waits for its turn. Raises `UsageError`."""
        try:
            place = self.create()
            asked = {"words": list(order.words), "label": order.label, "created": time.time()}
            write_json(
                place / "job.json", asked | {"cwd": str(self.settings.root), "out": str(self.settings.out)}
            )
            start(place)
        except OSError as error:
            raise UsageError(
                f"can't start a run in {self.settings.out}: {error.strerror or error}"
            ) from error
        return self.entry(place)

    def create(self) -> Path:
        """A new folder with the next number."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            place = self.folder / f"{max((int(one.name) for one in self.places()), default=0) + 1:05d}"
            try:
                place.mkdir()
                return place
            except FileExistsError:  # another studio was faster
                continue

    def places(self) -> Iterator[Path]:
        """The folders of all jobs."""
        if self.folder.is_dir():
            yield from (path for path in self.folder.iterdir() if path.name.isdecimal() and path.is_dir())

    def entries(self) -> list[Entry]:
        """All jobs that wait or run, and the newest finished ones; the newest first."""
        places = sorted(self.places(), key=lambda path: int(path.name), reverse=True)
        return [self.entry(place) for place in places[:SHOWN]]

    def entry(self, place: Path) -> Entry:
        """The job in a folder."""
        asked, state = read_json(place / "job.json"), read_json(place / "state.json")
        words = tuple(map(str, asked.get("words", ())))
        name = self.state_of(place, state)
        message = last_error(place / OUTPUT) if name == "failed" else ""
        run = str(state.get("run", "")) or self.unnoted_run(place, asked, state)
        return Entry(int(place.name), str(asked.get("label", "a run")), words, name, run, message)

    def unnoted_run(self, place: Path, asked: dict[str, Any], state: dict[str, Any]) -> str:
        """The run folder of a job whose process was killed before it noted the folder; "" for other jobs.

        A later run has a number that is not below the `first` of the next job, since jobs run one at a time.
        """
        if "ended" in state or "first" not in state or not {"words", "out"} <= set(asked):
            return ""
        later = (read_json(one / "state.json") for one in self.places() if int(one.name) > int(place.name))
        end = min((int(one["first"]) for one in later if "first" in one), default=None)
        return new_run(asked, int(state["first"]), end)

    def state_of(self, place: Path, state: dict[str, object]) -> str:
        """The state of a job in one word."""
        if "ended" in state:
            code = state.get("code")
            if code is None:
                return "cancelled"
            return "finished" if code == 0 else "stopped" if code in STOPPED else "failed"
        if not is_alive(place):
            return "starting" if is_starting(place) else "lost"
        if (place / STOP).exists():
            return "stopping"
        return "running" if "began" in state else "waiting"

    def of_run(self, run: str) -> Entry | None:
        """The newest job of a run folder; None if the run was not started here."""
        return next((entry for entry in self.entries() if entry.run == run), None)

    def named(self, number: int) -> Entry:
        """The job of that number. Raises `UsageError`."""
        place = self.folder / f"{number:05d}"
        if not place.is_dir():
            raise UsageError(f"there is no job {number}")
        return self.entry(place)

    def stop(self, number: int) -> None:
        """Ask a job to stop: a run writes a checkpoint first; a job that waits is removed."""
        if not self.named(number).active:
            return
        place = self.folder / f"{number:05d}"
        (place / STOP).touch()
        if is_orphan(place) and (command := read_json(place / "state.json").get("command")):
            with contextlib.suppress(OSError):  # it has just ended
                os.kill(int(command), signal.SIGTERM)


def start(place: Path) -> None:
    """Start the process of a job, which outlives this one."""
    words = [sys.executable, *MODULE, str(place)]
    nothing: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    process = subprocess.Popen(words, start_new_session=True, **nothing)
    threading.Thread(target=process.wait, daemon=True).start()  # so that no zombie stays


def last_error(path: Path) -> str:
    """The last error, or else the last line, that a command printed."""
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines() if path.is_file() else []
    errors = [line for line in lines if line.startswith("error")]
    return printable((errors or lines or ["it ended without a message"])[-1], 600)
