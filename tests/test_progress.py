"""Progress and messages: who gets what, in a terminal, a notebook, a program, and elsewhere."""

from __future__ import annotations

import io
import logging
import sys
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from helpers import SMALL

import gantl_zoo as gz
from gantl_zoo import console
from gantl_zoo.console import say, silent, warn
from gantl_zoo.data import ImageData
from gantl_zoo.runs import progress
from gantl_zoo.runs.progress import Lines, NotebookBar, TerminalBar, duration, progress_of, tracked

QUICK: dict[str, Any] = {
    "steps": 3, "batch": 4, "metrics": "none", "precision": "fp32", "generator_config": SMALL,
    "discriminator_config": {"width": 4},
}  # fmt: skip


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def perf_counter(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(progress, "time", clock)
    return clock


@pytest.fixture
def log() -> Iterator[logging.Logger]:
    """The logger, whose level and handlers are as before afterwards."""
    logger = console.logger()
    level, handlers, roots = logger.level, [*logger.handlers], [*logging.root.handlers]
    yield logger
    logger.setLevel(level)
    logger.handlers, logging.root.handlers = handlers, roots


class Kernel:
    """A notebook's shell and what it was asked to show."""

    kernel = object()

    def __init__(self) -> None:
        self.shown: list[dict[str, str]] = []

    def display(self, bundle: dict[str, str], raw: bool, display_id: bool) -> Kernel:
        assert raw and display_id
        self.shown.append(bundle)
        return self

    def update(self, bundle: dict[str, str], raw: bool) -> None:
        self.shown.append(bundle)


@pytest.fixture
def notebook(monkeypatch: pytest.MonkeyPatch) -> Kernel:
    kernel = Kernel()
    modules: dict[str, Any] = {name: types.ModuleType(name) for name in ("IPython", "IPython.display")}
    modules["IPython"].get_ipython = lambda: kernel
    modules["IPython.display"].display = kernel.display
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    return kernel


class Terminal(io.StringIO):
    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


def watch(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error as a terminal; in a test, since pytest replaces it after the fixtures."""
    stream = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", stream)
    return stream


def test_a_line_comes_after_five_seconds_then_each_half_minute_and_last(clock: Clock) -> None:
    lines: list[str] = []
    bar = Lines(1000, "train", 8, lines.append)
    for step in range(1, 1001):
        clock.now += 0.125
        bar.update(step, f"loss {step}" if step % 100 == 0 else None)
    steps = [int(line.split()[1].partition("/")[0]) for line in lines]
    assert steps == [40, 280, 520, 760, 1000]
    assert lines[0] == "train   40/1000  64 images/s  2 min left"
    assert lines[1] == "train  280/1000  loss 200  64 images/s  2 min left"
    assert lines[-1] == "train 1000/1000  loss 1000  64 images/s"


def test_a_roll_back_starts_the_rate_anew(clock: Clock) -> None:
    lines: list[str] = []
    bar = Lines(100, "train", 1, lines.append)
    bar.update(50)
    clock.now += 40
    bar.update(10)
    clock.now += 40
    bar.update(20)
    assert lines == ["train  10/100", "train  20/100  0 images/s  5 min left"]


def test_brief_work_without_images_has_no_line(clock: Clock) -> None:
    lines: list[str] = []
    brief = Lines(2, "reading", 0, lines.append)
    brief.update(1)
    brief.update(2)
    once = Lines(1, "reading", 0, lines.append)
    clock.now += 10
    once.update(1)
    assert not lines
    clock.now += 10
    brief.update(1)
    brief.update(2)
    assert lines == ["reading 1/2", "reading 2/2"]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (5400, "1 h 30 min")]
)
def test_durations_are_in_words(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_a_terminal_a_notebook_and_a_pipe_each_have_their_kind(
    notebook: Kernel, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch(monkeypatch)
    assert isinstance(progress_of(2, "x"), NotebookBar)
    monkeypatch.delitem(sys.modules, "IPython")
    assert isinstance(progress_of(2, "x"), TerminalBar)
    assert isinstance(progress_of(2, "x", quiet=True), Lines)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_of(2, "x"), Lines)
    monkeypatch.setattr(sys, "stderr", None)
    assert isinstance(progress_of(2, "x"), Lines)


def test_ipython_in_a_terminal_is_not_a_notebook(notebook: Kernel, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Kernel, "kernel", None)
    assert not progress.in_notebook()
    monkeypatch.setattr(sys.modules["IPython"], "get_ipython", lambda: None)
    assert not progress.in_notebook()


def test_a_notebook_has_one_bar_that_is_replaced(notebook: Kernel, clock: Clock) -> None:
    with progress_of(40, "<mine>", images=2) as bar:
        for step in range(1, 41):
            clock.now += 0.1
            bar.update(step, "loss <1>")
    assert 8 <= len(notebook.shown) <= 11
    last = notebook.shown[-1]
    assert last["text/plain"] == "<mine> 40/40  loss <1>  20 images/s"
    assert '<progress value="40" max="40">' in last["text/html"]
    assert "&lt;mine&gt;" in last["text/html"] and "loss &lt;1&gt;" in last["text/html"]


def test_a_notebooks_bar_of_evaluation_is_removed(notebook: Kernel) -> None:
    assert list(tracked(False)(range(3), "images")) == [0, 1, 2]
    assert len(notebook.shown) > 1 and notebook.shown[-1] == {"text/plain": "", "text/html": ""}
    notebook.shown.clear()
    assert list(tracked(True)(range(3), "images")) == [0, 1, 2] and not notebook.shown


def test_training_shows_a_bar_and_its_messages(
    images: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    terminal = watch(monkeypatch)
    gz.train("dcgan", data=images, out=tmp_path, **QUICK)
    text = terminal.getvalue()
    assert "3/3" in text and "images/s" in text and "engine:" in text and capsys.readouterr().out == ""


def test_classifying_shows_a_bar(images: ImageData, tmp_path: Path, notebook: Kernel) -> None:
    gz.classify_train("cnn", data=images, epochs=1, batch=20, out=tmp_path, quiet=True)
    assert not notebook.shown
    gz.classify_train("cnn", data=images, epochs=1, batch=20, out=tmp_path)
    assert notebook.shown[-1]["text/plain"].startswith("step 2/2  loss ")


@pytest.mark.parametrize("words", [{"progress": False}, {"quiet": True}, {"quiet": True, "progress": False}])
def test_without_progress_nothing_is_printed_and_programs_get_the_records(
    images: ImageData,
    tmp_path: Path,
    words: Any,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    terminal = watch(monkeypatch)
    gan = gz.train("dcgan", data=images, out=tmp_path, **QUICK, **words)
    gz.evaluate(gan, data=images, metrics="kd", samples=20, extractor="pixels", **words)
    assert terminal.getvalue() == "" and capsys.readouterr().out == ""
    records = [record for record in caplog.records if record.name == "gantl_zoo"]
    assert any(record.getMessage().startswith("engine: ") for record in records)
    assert any(record.getMessage().startswith("train 3/3  ") for record in records)
    assert "engine: " in next(tmp_path.glob("*/log.txt")).read_text()


def test_progress_decides_over_quiet() -> None:
    assert [silent(q, p) for q in (False, True) for p in (None, True, False)] == [
        False, False, True, True, False, True,
    ]  # fmt: skip


def test_messages_are_printed_once_with_their_level(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    say("a line")
    say("not printed", quiet=True)
    warn("a doubt")
    assert capsys.readouterr().err == "a line\nwarning: a doubt\n"
    log.setLevel(logging.WARNING)
    say("a line")
    warn("a doubt")
    assert capsys.readouterr().err == "warning: a doubt\n"


def test_a_handler_of_the_program_that_prints_replaces_ours(
    log: logging.Logger, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    own = logging.StreamHandler(sys.stderr)
    own.setFormatter(logging.Formatter("%(levelname)s:%(message)s"))
    logging.root.addHandler(own)
    say("a line")
    assert capsys.readouterr().err == "INFO:a line\n"
    log.propagate = False
    try:
        say("a line")
        assert capsys.readouterr().err == "a line\n"
    finally:
        log.propagate = True
    logging.root.removeHandler(own)
    file = logging.FileHandler(tmp_path / "log", encoding="utf-8")
    logging.root.addHandler(file)
    say("both")
    file.close()
    assert capsys.readouterr().err == "both\n" and (tmp_path / "log").read_text() == "both\n"


def test_a_level_that_was_set_before_the_first_message_stays(
    log: logging.Logger, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.handlers = []
    log.setLevel(logging.ERROR)
    monkeypatch.setattr(console, "logger", console.logger.__wrapped__)
    say("a line")
    assert log.level == logging.ERROR and capsys.readouterr().err == ""


def test_a_record_has_the_place_of_the_caller(caplog: pytest.LogCaptureFixture) -> None:
    say("a line")
    assert caplog.records[-1].filename == Path(__file__).name


def test_a_record_can_be_encoded_whatever_a_path_holds(caplog: pytest.LogCaptureFixture) -> None:
    console.say("folder \udce9")
    console.warn("folder \udce9")
    assert [record.getMessage() for record in caplog.records] == ["folder \\udce9"] * 2
