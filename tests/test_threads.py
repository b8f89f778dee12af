"""A run uses fewer threads while other programs use its cores, and all of them again afterwards."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.training import engine, threads
from gantl_zoo.training.threads import INTERVAL, Threads, Times, processor_times


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def texts(
    monkeypatch: pytest.MonkeyPatch, used: Sequence[float], cores: int = 2, most: int = 2, **settings: int
) -> list[tuple[str, int]]:
    """What is logged, and the threads, after intervals in which others used so many cores."""
    precision = "fp32" if settings.pop("exact", 0) else "bf16"
    clock, others = 100.0, 0.0
    monkeypatch.setattr(threads, "available_cores", lambda: set(range(cores)))
    monkeypatch.setattr(threads.time, "monotonic", lambda: clock)
    torch.set_num_threads(most)
    one = Threads(engine.choose("cpu", precision, settings), lambda: Times(clock, others))
    results = []
    for share in used:
        clock, others = clock + INTERVAL / 2, others + share * INTERVAL / 2
        assert one.adapt() == "", "too early"
        clock, others = clock + INTERVAL / 2, others + share * INTERVAL / 2
        results.append((one.adapt(), torch.get_num_threads()))
    return results


def test_threads_follow_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    assert texts(monkeypatch, [0.3, 1.0, 1.3, 2.0, 0.4, 0.1, 0.6]) == [
        ("", 2),
        ("other programs use 1.0 of 2 cores: 1 thread instead of 2", 1),
        ("", 1),
        ("", 1),
        ("", 1),  # not before 0.25, so that it doesn't alternate
        ("other programs use 0.1 of 2 cores: 2 threads instead of 1", 2),
        ("", 2),
    ]


def test_no_more_threads_than_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [count for _, count in texts(monkeypatch, [3, 4.2, 6, 9, 2, 0], cores=8, most=4)] == [
        4, 4, 2, 1, 4, 4,
    ]  # fmt: skip


def test_in_fp32_it_is_only_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "other programs use 1.2 of 2 cores; this run may be faster with --engine-arg threads=1"
    assert texts(monkeypatch, [1.2, 1.2], exact=1) == [(said, 2), ("", 2)]


@pytest.mark.parametrize(("most", "settings"), [(2, {"threads": 2}), (1, {})])
def test_a_number_that_can_not_change_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, most: int, settings: dict[str, int]
) -> None:
    assert texts(monkeypatch, [1.5, 1.5], most=most, **settings) == [("", most)] * 2


def spin(seconds: float) -> None:
    while time.process_time() < seconds:
        pass


def test_other_programs_are_measured() -> None:
    with subprocess.Popen([sys.executable, "-c", "while True: pass"]) as other:
        before = processor_times()
        time.sleep(1)
        after = processor_times()
        other.kill()
    assert after.others - before.others > 0.2


def test_this_process_and_its_children_are_not_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the times of all programs fixed, what is left of others falls by what this process uses."""
    import psutil

    fixed = psutil.cpu_times(percpu=True)
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: fixed)
    first = processor_times().others
    spin(time.process_time() + 0.4)
    second = processor_times().others
    assert first - second == pytest.approx(0.4, abs=0.1)
    child = multiprocessing.get_context("spawn").Process(target=spin, args=(2.0,))
    child.start()
    while psutil.Process(child.pid).cpu_times().user < 0.5:
        time.sleep(0.01)
    assert second - processor_times().others > 0.4, "while it runs"
    child.join()
    assert second - processor_times().others > 1.8, "and after its end"


def test_a_run_says_so(monkeypatch: pytest.MonkeyPatch, images: ImageData, tmp_path: Path) -> None:
    monkeypatch.setattr(Threads, "adapt", lambda self: "fewer threads")
    gz.train("dcgan", data=images, out=tmp_path, **TINY | {"steps": 2})
    (log,) = tmp_path.glob("*/log.txt")
    assert log.read_text().count("fewer threads") == 2
