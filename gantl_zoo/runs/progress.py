"""Progress of a loop: a bar in a terminal or a notebook, elsewhere a line every 30 seconds."""

from __future__ import annotations

import contextlib
import html
import importlib
import os
import sys
import time
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from typing_extensions import Self

from gantl_zoo.console import say


class Progress:
    """Base class that shows nothing. `update` is called after each step."""

    def update(self, done: int, text: str | None = None) -> None:
        """Show that `done` steps are complete. `text`, if given, replaces the text beside the numbers."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        """Called after the last step or a failure."""


class TerminalBar(Progress):
    """A bar on standard error; `transient` removes it at the end."""

    def __init__(self, total: int, title: str, images: int = 0, transient: bool = False) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        self.bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[text]}", markup=False),
            console=Console(stderr=True),
            transient=transient,
            # results that go to a file or a pipe are not redirected
            redirect_stdout=sys.stdout is not None and sys.stdout.isatty(),
        )
        self.text, self.images = "", images
        self.task = self.bar.add_task(title, total=total, text="")

    def update(self, done: int, text: str | None = None) -> None:
        self.text = self.text if text is None else text
        speed = self.bar.tasks[0].speed  # steps a second
        rate = f"  {speed * self.images:.0f} images/s" if speed and self.images else ""
        self.bar.update(self.task, completed=done, text=self.text + rate)

    def __enter__(self) -> Self:
        self.bar.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.bar.stop()


class Timed(Progress):
    """Base class for progress that is shown after `first` seconds, and then every `every` seconds.

    `images` is the number of images per step, from which the rate is computed.
    """

    first: float
    every: float

    def __init__(self, total: int, title: str, images: int = 0) -> None:
        self.total, self.title, self.images = total, title, images
        self.done, self.text = 0, ""
        self.began: tuple[int, float] | None = None  # steps and seconds at the first update
        self.due = time.perf_counter() + self.first
        self.shown = 0

    def update(self, done: int, text: str | None = None) -> None:
        now = time.perf_counter()
        if self.began is None or done < self.done:  # a run may roll back to an earlier checkpoint
            self.began = (done, now)
        self.done, self.text = done, self.text if text is None else text
        if self.wants_last() if done == self.total else now >= self.due:
            self.due, self.shown = now + self.every, self.shown + 1
            self.show(self.status(now))

    def wants_last(self) -> bool:
        """Whether to show the last step even if it comes before the next interval."""
        return True

    def status(self, now: float) -> str:
        """The text, images per second and the time left."""
        parts = [self.text] if self.text else []
        steps, seconds = (0, 0.0) if self.began is None else (self.done - self.began[0], now - self.began[1])
        if steps > 0 and seconds > 0:
            parts += [f"{steps * self.images / seconds:.0f} images/s"] if self.images else []
            left = (self.total - self.done) * seconds / steps
            parts += [f"{duration(left)} left"] if left > 0 else []
        return "  ".join(parts)

    def show(self, status: str) -> None:
        raise NotImplementedError


class Lines(Timed):
    """Passes a line to `write` every 30 seconds. Without `images`, loops under 5 seconds have none."""

    first, every = 5.0, 30.0

    def __init__(self, total: int, title: str, images: int, write: Callable[[str], None]) -> None:
        super().__init__(total, title, images)
        self.write = write

    def wants_last(self) -> bool:
        return bool(self.images or self.shown)

    def show(self, status: str) -> None:
        self.write(f"{self.title} {self.done:>{len(str(self.total))}}/{self.total}  {status}".rstrip())


class NotebookBar(Timed):
    """A bar below a notebook's cell; `transient` removes it at the end."""

    first, every = 0.0, 0.5

    def __init__(self, total: int, title: str, images: int = 0, transient: bool = False) -> None:
        super().__init__(total, title, images)
        self.transient = transient
        self.handle: Any = None

    def show(self, status: str) -> None:
        plain = f"{self.title} {self.done}/{self.total}"
        bar = f'<progress value="{self.done}" max="{self.total}"></progress>'
        markup = (
            f"<div>{html.escape(self.title)} {bar} {self.done}/{self.total} &nbsp;{html.escape(status)}</div>"
        )
        self.put({"text/plain": f"{plain}  {status}".rstrip(), "text/html": markup})

    def put(self, bundle: dict[str, str]) -> None:
        """Display the MIME bundle, or replace the one that is displayed."""
        if self.handle is None:
            # not a dependency, but every notebook has it
            display: Any = importlib.import_module("IPython.display")
            self.handle = display.display(bundle, raw=True, display_id=True)
        else:
            self.handle.update(bundle, raw=True)

    def __exit__(self, *exception: object) -> None:
        if self.transient and self.handle is not None:
            self.put({"text/plain": "", "text/html": ""})


def duration(seconds: float) -> str:
    """Seconds in words: "45 s", "12 min", "3 h 20 min"."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02} min"


def in_notebook() -> bool:
    """Whether this process is a notebook's kernel. Imports nothing, because a kernel has imported IPython."""
    get = getattr(sys.modules.get("IPython"), "get_ipython", None)
    return getattr(get() if get else None, "kernel", None) is not None


def in_terminal() -> bool:
    """Whether standard error is a terminal that can draw a bar."""
    drawable = os.environ.get("TERM", "").lower() not in ("dumb", "unknown")
    return sys.stderr is not None and sys.stderr.isatty() and drawable


def progress_of(
    total: int,
    title: str,
    *,
    images: int = 0,
    quiet: bool = False,
    write: Callable[[str], None] = say,
) -> Progress:
    """Progress for `total` steps of `images` images each. A bar without images disappears at the end.

    `write` gets the lines if there is no bar.
    """
    if in_notebook() and not quiet:
        import_tqdm()
        return NotebookBar(total, title, images, transient=not images)
    if in_terminal() and not quiet:
        return TerminalBar(total, title, images, transient=not images)
    return Lines(total, title, images, write)


def import_tqdm() -> None:
    """Import other libraries' bars, which would warn of missing widgets in the middle of a run."""
    with warnings.catch_warnings(), contextlib.suppress(ImportError):
        warnings.simplefilter("ignore")
        importlib.import_module("tqdm.auto")


def tracked(quiet: bool) -> Callable[[Iterable[int], str], Iterable[int]]:
    """A function that shows the progress of a loop: `for step in tracked(quiet)(steps, title)`."""

    def track(steps: Iterable[int], title: str) -> Iterator[int]:
        steps = list(steps)
        with progress_of(len(steps), title, quiet=quiet, write=lambda text: say(text, quiet=quiet)) as shown:
            for done, step in enumerate(steps, 1):
                yield step
                shown.update(done)

    return track
