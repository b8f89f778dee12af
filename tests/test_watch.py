"""What looks on while a run trains: how often it measures, which model is best, its last words."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

import gantl_zoo as gz
from gantl_zoo.metrics.report import Report
from gantl_zoo.runs.best import Best
from gantl_zoo.runs.compare import table
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.recorder import RunRecorder, summary
from gantl_zoo.training.recipe import Recipe


def watch_with(folder: Path, **settings: Any) -> RunRecorder:
    return RunRecorder(RunFolder.create(folder, "watched", {}, True), Recipe(**settings), None, None, "train")


def test_metrics_take_a_tenth_of_the_time_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [100.0]
    monkeypatch.setattr("gantl_zoo.runs.recorder.time.perf_counter", lambda: clock[0])
    watch, spent, measured = watch_with(tmp_path), 0.0, []
    watch.evaluator = Told(metric="recall")  # type: ignore[assignment]
    for step in range(1, 2001):
        clock[0] += 0.1  # a step
        if watch.wants_metrics(step):
            clock[0] += 2.0  # a measurement
            watch.seconds, watch.cost, spent = watch.seconds + 2, 2.0, spent + 2
            measured.append(step)
        assert spent <= 0.1 * (clock[0] - 100) + 2.0  # the first cost is not known in advance
    assert 8 <= len(measured) <= 12 and all(step % 50 == 0 for step in measured)
    other = watch_with(tmp_path)
    other.restore(watch.state(), 2000)
    assert other.elapsed() == pytest.approx(watch.elapsed()) and other.cost == 2.0
    unjudged = watch_with(tmp_path, checkpoint_every=500)  # only pictures, which cost nothing that is counted
    assert [step for step in range(1, 2001) if unjudged.wants_metrics(step)] == [500, 1000, 1500, 2000]
    told = watch_with(tmp_path, metrics_every=30)
    assert [step for step in range(1, 100) if told.wants_metrics(step)] == [30, 60, 90]


def test_the_last_words_set_the_kept_model_beside_the_last_and_the_floor() -> None:
    rows = [{"step": step, "fd_x": value} for step, value in ((0, 9.0), (50, 2.0), (100, 3.0))]
    table = summary(rows, 50, {"fd_x": 0.5}).splitlines()
    assert table[0].split() == ["kept", "last", "real", "images"]
    assert table[1].split() == ["step", "50", "100"] and table[2].split() == ["fd_x", "2", "3", "0.5"]
    assert summary([], 0, {}) == ""


class Told:
    """A judge that says what it was told to say."""

    def __init__(self, *values: float, metric: str = "fd", better: str = "lower") -> None:
        self.values, self.metric, self.better = iter(values), metric, better

    def __call__(self, gan: gz.GAN) -> Report:
        how = {"name": f"{self.metric}_x", "metric": self.metric, "floor": None, "better": self.better}
        return Report([{**how, "value": next(self.values)}])


def result(value: float, **more: Any) -> list[dict[str, Any]]:
    return [{"name": "m", "metric": "m", "value": value, "better": "lower"} | more]


def kept(*looks: list[dict[str, Any]]) -> Best:
    best = Best(first="m")
    for i, results in enumerate(looks, 1):
        best.takes(results, 10 * i)
    return best


def test_the_last_of_those_that_a_metric_cant_tell_apart_is_kept() -> None:
    noisy = [result(value, low=value - 1, high=value + 1) for value in (5.0, 3.0, 3.9, 4.1, 3.8)]
    assert kept(*noisy).step == 50 and kept(*noisy[:4]).step == 30, "4.1 is above 3.0 by more than 1"
    assert kept(*noisy).reason() == ", the newest one within the interval of the best m (3 at step 20)"
    assert kept(*noisy[:2]).reason() == ""
    clear = [result(value, low=value - 0.1, high=value + 0.1) for value in (5.0, 3.0, 3.9)]
    assert kept(*clear).step == 20
    slow = [result(1 + i / 10, low=0.5, high=1.25 + i / 10) for i in range(9)]
    assert kept(*slow).step == 30, "it does not drift: all are compared with the best"
    higher = [result(v, low=v - 0.1, high=v + 0.1, better="higher") for v in (0.2, 0.6, 0.55, 0.4)]
    assert kept(*higher).step == 30


@pytest.mark.parametrize("broken", [math.nan, math.inf, -math.inf])
def test_a_value_that_is_not_finite_counts_as_not_measured(broken: float) -> None:
    looks = [result(value) for value in (broken, 4.0, broken, 3.0, 9.0)]
    assert kept(looks[0]).step == 10 and kept(*looks[:3]).step == 20 and kept(*looks).step == 40
    assert kept(result(broken, low=broken, high=broken), result(4.0, low=3.9, high=broken)).bound == 4.0
    earlier = {"first": "m", "best": broken, "bound": broken, "best_step": 10, "value": broken, "at": 10}
    best = Best.restored(earlier, lost=False)
    assert best.takes(result(4.0), 20) and not best.takes(result(5.0), 30)


def test_a_metric_without_an_interval_gets_one_by_the_number_of_images() -> None:
    few, many = ([result(v, real=n, samples=5000) for v in (4.0, 5.0)] for n in (10, 10_000))
    assert kept(*few).step == 20 and kept(*many).step == 10
    assert kept(result(4.0), result(4.0)).step == 20, "of equal ones the last"
    old = Best.restored({"best": 2.0, "best_step": 5}, lost=False)
    assert old.bound == 2.0 and old.step == old.at == 5 and Best.restored(old.state(), lost=False) == old


def test_the_best_is_the_highest_where_higher_is_better(gan: gz.GAN, tmp_path: Path) -> None:
    watch = watch_with(tmp_path)
    watch.evaluator = Told(0.0, 1.0, 3.0, 2.0, metric="recall", better="higher")  # type: ignore[assignment]
    for step in (0, 50, 100, 150):
        watch.on_metrics(step, gan)
    assert watch.best_step == 100


def test_a_look_without_the_first_metric_chooses_no_model(gan: gz.GAN, tmp_path: Path) -> None:
    watch = watch_with(tmp_path)
    watch.evaluator = Told(9.0, 5.0)  # type: ignore[assignment]
    watch.on_metrics(0, gan), watch.on_metrics(50, gan)
    watch.evaluator = Told(0.1, metric="kd")  # type: ignore[assignment]  # fd could not be measured
    watch.on_metrics(100, gan)
    assert watch.best_step == 50 and watch.kept_step() == 50


def test_a_model_of_steps_that_were_taken_back_is_not_the_best(gan: gz.GAN, tmp_path: Path) -> None:
    watch = watch_with(tmp_path)
    watch.evaluator = Told(9.0, 5.0, 3.0, 4.0)  # type: ignore[assignment]
    watch.on_metrics(0, gan), watch.on_metrics(50, gan)
    state = watch.state()
    watch.on_metrics(100, gan)  # better, so it takes the place of that of step 50
    watch.restore(state, 50)
    watch.on_metrics(100, gan)
    assert watch.best_step == watch.kept_step() == 100 and watch.best.score == 4.0


def test_who_won_is_told_of_numbers_below_zero_too(gan: gz.GAN, tmp_path: Path) -> None:
    folders = []
    for name, values in (("ours", (0.5, -0.02)), ("theirs", (0.5, -0.01)), ("nothing", (0.5,))):
        watch = watch_with(tmp_path / name)
        watch.evaluator = Told(*values, metric="kd")  # type: ignore[assignment]
        for step in range(0, 50 * len(values), 50):
            watch.on_metrics(step, gan)
        folders.append(watch.folder)
    ours, theirs, nothing = folders
    assert table(ours, theirs).endswith(
        "transfer is better: kd_x is -0.02, that of scratch -0.01, after as many steps"
    )
    assert "training from scratch is better" in table(theirs, ours)
    assert table(ours, nothing) == "kd_x could not be measured, so the runs can't be compared"


class Several(Told):
    """A judge of several metrics, of which some are undefined at times: a row a look."""

    def __init__(self, *looks: dict[str, float]) -> None:
        self.looks = iter(looks)

    def __call__(self, gan: gz.GAN) -> Report:
        how = {"floor": None, "better": "lower"}
        return Report([{**how, "name": n, "metric": n, "value": v} for n, v in next(self.looks).items()])


def test_a_metric_that_comes_late_takes_no_model_away(gan: gz.GAN, tmp_path: Path) -> None:
    watch = watch_with(tmp_path)
    watch.evaluator = Several({"fd": 9.0}, {"kd": 1.0, "fd": 5.0}, {"kd": 0.1, "fd": 7.0})  # type: ignore[assignment]
    for step in (0, 50, 100):
        watch.on_metrics(step, gan)
    assert watch.best_step == watch.kept_step() == 50, "fd was there at first, so fd decides"
    other = watch_with(tmp_path / "resumed")
    other.restore(watch.state(), 100)
    assert other.best.first == "fd"
    never = watch_with(tmp_path / "never")
    never.evaluator = Several({"fd": 9.0}, {"kd": 1.0}, {"kd": 0.1})  # type: ignore[assignment]
    for step in (0, 50, 100):
        never.on_metrics(step, gan)
    assert never.kept_step() == 50, "a run ends with a model, whatever could be measured"


def test_even_runs_are_a_tie(gan: gz.GAN, tmp_path: Path) -> None:
    folders = []
    for name in ("ours", "theirs"):
        watch = watch_with(tmp_path / name)
        watch.evaluator = Told(9.0, 2.0)  # type: ignore[assignment]
        watch.on_metrics(0, gan), watch.on_metrics(50, gan)
        folders.append(watch.folder)
    assert (
        table(*folders)
        .splitlines()[-1]
        .endswith("are equal: fd_x is 1.00 times that of scratch, after as many steps")
    )
