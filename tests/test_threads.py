"""A run uses fewer threads while other programs use its cores, and all of them again afterwards."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.training import engine, loop, threads
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.threads import INTERVAL, Threads, Times, processor_times

NO_CORES = (OSError("no /proc"), psutil.AccessDenied(1), NotImplementedError())


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


class Machine:
    """A clock, and the use of the cores by others, of which the tests decide."""

    def __init__(self) -> None:
        self.clock, self.others, self.measured = 100.0, 0.0, 0

    def times(self) -> Times:
        self.measured += 1
        return Times(self.clock, self.others + self.clock, {1: self.clock})

    def passes(self, seconds: float, share: float) -> None:
        self.clock, self.others = self.clock + seconds, self.others + share * seconds


def texts(
    monkeypatch: pytest.MonkeyPatch,
    used: Sequence[float],
    cores: int = 2,
    most: int = 2,
    precision: str = "bf16",
    **changes: Any,
) -> list[tuple[str, int]]:
    """What is logged, and the threads, after intervals in which others used so many cores."""
    machine, results = Machine(), []
    monkeypatch.setattr(threads, "available_cores", lambda: set(range(cores)))
    torch.set_num_threads(most)
    one = Threads(replace(engine.choose("cpu", precision), **changes), machine.times, lambda: machine.clock)
    for share in used:
        machine.passes(INTERVAL / 2, share)
        assert one.adapt() == "", "too early"
        machine.passes(INTERVAL / 2, share)
        results.append((one.adapt(), torch.get_num_threads()))
    return [*results, ("measured", machine.measured)]


def test_threads_follow_the_load(monkeypatch: pytest.MonkeyPatch) -> None:
    assert texts(monkeypatch, [0.3, 1.0, 0.3, 1.0, 1.1, 1.3, 2.0, 0.4, 0.1, 0.4, 0.1, 0.0, 0.6]) == [
        ("", 2),
        ("", 2),
        ("", 2),  # not after a single one
        ("", 2),
        ("other programs use 1.1 of 2 cores: 1 thread instead of 2", 1),
        ("", 1),
        ("", 1),
        ("", 1),  # not before 0.25, so that it doesn't alternate
        ("", 1),
        ("", 1),
        ("", 1),
        ("other programs use 0.0 of 2 cores: 2 threads instead of 1", 2),
        ("", 2),
        ("measured", 14),
    ]


def test_no_more_threads_than_at_the_beginning(monkeypatch: pytest.MonkeyPatch) -> None:
    used = [share for share in (3, 4.2, 6, 9, 2, 0) for _ in range(2)]
    rows = texts(monkeypatch, used, cores=8, most=4)
    assert [count for _, count in rows[1:-1:2]] == [4, 4, 2, 1, 4, 4]


def test_many_threads_change_by_a_tenth_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = texts(monkeypatch, [3, 3, 5, 5], cores=40, most=40)
    assert [count for _, count in rows[:-1]] == [40, 40, 40, 35]


def test_two_measurements_agree_on_a_number_or_the_nearer_one_is_taken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows = texts(monkeypatch, [6, 6, 3, 7, 5, 1, 2, 1], cores=8, most=8)
    assert [count for _, count in rows[:-1]] == [8, 2, 2, 2, 2, 3, 6, 6]


def test_in_fp32_it_is_only_said_once(monkeypatch: pytest.MonkeyPatch) -> None:
    said = "other programs use 1.2 of 2 cores; a run with --engine-arg threads=1 may be faster"
    rows = texts(monkeypatch, [1.2] * 6, precision="fp32")
    assert rows[:-1] == [("", 2), (said, 2)] + [("", 2)] * 4


@pytest.mark.parametrize(
    "settings",
    [
        {"threads": 2}, {"most": 1}, {"cores": 1}, {"compile": True}, {"processes": Processes(count=2)},
        {"device": torch.device("cuda")},
    ],
    ids=["chosen", "one", "pinned", "compiled", "processes", "gpu"],
)  # fmt: skip
def test_a_number_that_must_not_change_is_not_measured(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any]
) -> None:
    most = settings.get("most", 2)
    assert texts(monkeypatch, [1.5] * 3, **settings) == [("", most)] * 3 + [("measured", 0)]


def spin(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_other_programs_are_measured() -> None:
    other = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        before, used = processor_times(), psutil.Process(other.pid).cpu_times().user
        time.sleep(1)
        used = psutil.Process(other.pid).cpu_times().user - used
        after = processor_times()
    finally:
        other.kill()
        other.wait()
    assert before and after and used > 0.05
    assert after.others(before) * (after.clock - before.clock) > 0.9 * used - 0.05


def test_this_process_and_its_children_are_not_others() -> None:
    before = processor_times()
    spin(0.3)
    after = processor_times()
    assert before and after
    assert after.own[os.getpid()] - before.own[os.getpid()] == pytest.approx(0.3, abs=0.1)
    child = multiprocessing.get_context("spawn").Process(target=spin, args=(30,))
    child.start()
    try:
        first = processor_times()
        spin(0.3)
        second = processor_times()
    finally:
        child.kill()
        child.join()
    assert first and second and child.pid
    assert second.own[child.pid] > first.own[child.pid]
    third = processor_times()
    assert third and child.pid not in third.own


def test_only_the_cores_of_this_process_count(monkeypatch: pytest.MonkeyPatch) -> None:
    kinds = namedtuple("kinds", "user nice system idle iowait irq softirq steal guest")
    rows = [kinds(*(10 * i + row for i in range(9))) for row in (1, 2, 3)]
    monkeypatch.setattr(psutil, "cpu_times", lambda percpu: rows)
    for cores, busy in ({0, 2}, 0 + 10 + 20 + 50 + 60 + 70 + 6 * 1 + 210 + 6 * 3), ({1}, 210 + 6 * 2):
        monkeypatch.setattr(threads, "available_cores", lambda cores=cores: cores)
        times = processor_times()
        assert times and times.busy == busy
    monkeypatch.setattr(threads, "available_cores", lambda: {3})
    assert processor_times() is None


def test_a_child_that_ends_does_not_look_like_another_program() -> None:
    before = Times(10, 50, {1: 20, 2: 500})
    assert Times(12, 53, {1: 22, 3: 0.5}).others(before) == 0.5


@pytest.mark.parametrize("error", NO_CORES, ids=str)
def test_a_system_that_does_not_tell(monkeypatch: pytest.MonkeyPatch, error: Exception) -> None:
    def fails(percpu: bool) -> None:
        raise error

    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "available_cores", lambda: {0, 1})
    one = Threads(engine.choose("cpu", "bf16"), clock=lambda: float("inf"))
    monkeypatch.setattr(psutil, "cpu_times", fails)
    assert processor_times() is None
    assert [one.adapt(), one.adapt()] == ["", ""] and torch.get_num_threads() == 2


@pytest.mark.parametrize("applied", [True, False])
def test_a_run_adapts_its_threads_and_restores_them(
    applied: bool, monkeypatch: pytest.MonkeyPatch, images: ImageData, tmp_path: Path
) -> None:
    machine, seen = Machine(), list[int]()
    if not applied:  # `Trainer.run` without the context around it
        monkeypatch.setattr(engine.Engine, "applied", lambda self: nullcontext())
    torch.set_num_threads(2)
    monkeypatch.setattr(threads, "available_cores", lambda: {0, 1})

    class Busy(Threads):
        def __init__(self, engine: engine.Engine) -> None:
            super().__init__(engine, machine.times, lambda: machine.clock)

        def adapt(self) -> str:
            machine.passes(INTERVAL, 1.0)
            text = super().adapt()
            seen.append(torch.get_num_threads())
            return text

    monkeypatch.setattr(loop, "Threads", Busy)
    gz.train("dcgan", data=images, out=tmp_path, **TINY | {"steps": 4, "precision": "bf16"})
    (log,) = tmp_path.glob("*/log.txt")
    assert seen == [2, 1, 1, 1] and torch.get_num_threads() == 2
    assert log.read_text().count("other programs use 1.0 of 2 cores: 1 thread instead of 2") == 1
