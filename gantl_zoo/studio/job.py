"""A job of the queue: `python -m gantl_zoo.studio.job FOLDER` waits for its turn, then runs one command.

It is a process of its own, which needs neither the page nor the studio. A lock, which the system releases
when a process ends however it ends, says which job runs; another one says that a job is alive. The command
holds a third one, so that a command whose job was killed is found.

| file in the folder | writer | content |
|---|---|---|
| job.json | studio | the words of the command, its label, the working directory, the parent of run folders |
| state.json | job | when it began and ended, the command's process, the run's folder, the exit status |
| stop | studio | asks the job to stop |
| output.txt | command | what it printed |
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from gantl_zoo.storage.atomic import replace_file

PAUSE = 0.2  # seconds between two looks
# The command line, without the working directory among the places of modules: `python -m` would add it.
PROGRAM = "import sys; sys.path[:] = [p for p in sys.path if p]; from gantl_zoo.cli import main; main()"
STARTING = 30.0  # seconds in which the process of a new job may not exist yet
LOCK, ALIVE, WORKING, STOP, OUTPUT = "running.lock", "alive.lock", "working.lock", "stop", "output.txt"


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file, {} if it is missing or damaged."""
    with contextlib.suppress(OSError, ValueError):
        content = json.loads(path.read_text(encoding="utf-8"))
        return content if isinstance(content, dict) else {}
    return {}


def write_json(path: Path, value: dict[str, Any]) -> None:
    """Write an object, all of it or nothing."""
    with replace_file(path) as beside:
        beside.write_text(json.dumps(value, indent=2) + "\n", encoding="utf-8")


def is_alive(folder: Path) -> bool:
    """Whether the process of a job exists, or that of its command."""
    return is_held(folder / ALIVE) or is_held(folder / WORKING)


def is_orphan(folder: Path) -> bool:
    """Whether the process of a job was killed, while its command goes on."""
    return is_held(folder / WORKING) and not is_held(folder / ALIVE)


def is_held(lock: Path) -> bool:
    """Whether a process holds a lock."""
    if not lock.exists():
        return False
    probe = FileLock(lock, thread_local=False)
    try:
        with probe.acquire(timeout=0):
            return False
    except Timeout:
        return True


def is_starting(folder: Path) -> bool:
    """Whether a job is so new that its process may not exist yet."""
    created = read_json(folder / "job.json").get("created", 0.0)
    return not (folder / "state.json").exists() and time.time() - created < STARTING


def is_first(folder: Path) -> bool:
    """Whether no job with a lower number waits."""
    others = (
        one for one in folder.parent.iterdir() if one.name.isdecimal() and int(one.name) < int(folder.name)
    )
    waiting = (one for one in others if "ended" not in read_json(one / "state.json"))
    return not any(is_alive(one) or is_starting(one) for one in waiting)


class Job:
    """The process of one job."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.asked = folder, read_json(folder / "job.json")
        self.state: dict[str, Any] = {"pid": os.getpid()}
        self.stopping = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self.on_signal)

    def on_signal(self, number: int, frame: object) -> None:
        """Stop the command, as a `stop` file does."""
        self.stopping = True

    def wants_stop(self) -> bool:
        """Whether the job was asked to stop."""
        return self.stopping or (self.folder / STOP).exists()

    def note(self, **facts: Any) -> None:
        """Write facts to state.json."""
        self.state |= facts
        write_json(self.folder / "state.json", self.state)

    def work(self) -> None:
        """Wait for the turn, and run the command."""
        self.note()
        turn = FileLock(self.folder.parent / LOCK, thread_local=False)
        while not self.wants_stop():
            try:
                with turn.acquire(timeout=0):
                    if is_first(self.folder):
                        self.run()
                        return
            except Timeout:
                pass
            time.sleep(PAUSE)
        self.note(ended=time.time(), code=None)

    def run(self) -> None:
        """Run the command to its end, and pass on a request to stop."""
        first = 1 + max(map(number_of, runs_in(Path(self.asked["out"]))), default=-1)
        self.note(began=time.time(), first=first)
        with open(self.folder / OUTPUT, "wb") as output, locked(self.folder / WORKING) as passed:
            words = [sys.executable, "-c", PROGRAM, *self.asked["words"]]
            settings: dict[str, Any] = {
                "stdin": subprocess.DEVNULL,
                "stdout": output,
                "stderr": subprocess.STDOUT,
                **passed,
            }
            process = subprocess.Popen(words, cwd=self.asked["cwd"], **settings)
        self.note(command=process.pid)
        asked = False
        while process.poll() is None:
            if self.wants_stop() and not asked:
                process.terminate()
                asked = True
            if "run" not in self.state and (run := new_run(self.asked, first)):
                self.note(run=run)
            time.sleep(PAUSE)
        if "run" not in self.state and (run := new_run(self.asked, first)):
            self.state["run"] = run
        self.note(ended=time.time(), code=process.returncode)


@contextlib.contextmanager
def locked(lock: Path) -> Iterator[dict[str, Any]]:
    """Settings of a process that is started inside, so that it holds a lock as long as it exists.

    Empty on Windows, where a lock can't be passed on.
    """
    try:
        import fcntl
    except ImportError:
        yield {}
        return
    with open(lock, "wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield {"pass_fds": [file.fileno()]}


def runs_in(out: Path) -> set[str]:
    """The names of the run folders."""
    return {path.name for path in out.glob("[0-9]*-*")} if out.is_dir() else set()


def number_of(run: str) -> int:
    """The number at the start of a run folder's name; -1 for another folder."""
    number = run.partition("-")[0]
    return int(number) if number.isdecimal() else -1


def new_run(asked: dict[str, Any], first: int, end: int | None = None) -> str:
    """The name of the run folder that a job's command has created; "" before that.

    Its number is `first` or a later one, below `end`. `asked` is the content of job.json.
    """
    verb, name, *_ = asked["words"]
    if verb == "resume":
        return Path(name).name
    out = Path(asked["out"])
    for run in sorted(runs_in(out), key=number_of):
        if number_of(run) < first or (end is not None and number_of(run) >= end):
            continue
        config = read_json(out / run / "config.json")
        if config.get("verb") == verb and config.get("name") == name:
            return run
    return ""


def main() -> None:
    """Be the process of the job in the folder that the first argument names."""
    folder = Path(sys.argv[1])
    with FileLock(folder / ALIVE, thread_local=False):
        Job(folder).work()


if __name__ == "__main__":
    main()
