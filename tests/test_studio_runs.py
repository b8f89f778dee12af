"""How the studio plans, queues and shows runs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
from studio_fixtures import OWN, client_of, wait_for

import gantl_zoo as gz

pytest.importorskip("starlette", reason="the extra studio is not installed")

from gantl_zoo.errors import UsageError
from gantl_zoo.studio import job, plan, queue as queues, runs
from gantl_zoo.studio.curves import plots_of
from gantl_zoo.studio.order import order_for
from gantl_zoo.studio.queue import Queue
from gantl_zoo.studio.settings import Settings


def test_an_order_is_a_command(settings: Settings, photos: Path) -> None:
    form = {
        "source": "small",
        "data": "photos",
        "steps": "20",
        "title": "--out=/etc",
        "strategy": "freeze-d",
        "seed": "3",
    }
    order = order_for(settings, form | {"compare_scratch": "1", "classes": "unconditional", "minutes": ""})
    assert order.words == (
        "transfer", "./small", "--data=./photos", "--strategy=freeze-d", "--steps=20", "--seed=3",
        "--title=--out=/etc",
        "--compare-scratch", "--unconditional", "--out=./runs",
    )  # fmt: skip
    assert order.command.startswith("gantl-zoo transfer ./small --data=./photos")
    for wrong in (
        {"steps": "x"}, {"steps": "-1"}, {"steps": "5", "minutes": "2"}, {"minutes": "nan"}, {"data": ""},
        {"strategy": "freze"}, {"preset": "nothing"}, {"source": ""}, {"shots": "1e9"}, {"data": "."},
        {"data": "none"},
    ):  # fmt: skip
        with pytest.raises(UsageError):
            order_for(settings, {**form, "minutes": "", **wrong})


def test_the_plan_is_the_dry_run(visitor: Any, photos: Path) -> None:
    text = visitor.get("/train/plan?source=small&data=photos&steps=20").text
    assert "30 images" in re.sub(r"\s+", " ", text) or "27 images" in text
    assert "<dt>Recipe</dt>" in text and "20 steps of" in text and "<dt>Time and memory</dt>" in text
    assert "gantl-zoo transfer ./small --data=./photos --steps=20" in text
    assert "alert" in visitor.get("/train/plan?source=small&data=photos&batch=0&steps=20").text


def test_a_plan_that_nobody_waits_for_is_given_up(settings: Settings, photos: Path) -> None:
    async def gone() -> bool:
        return True

    order = order_for(settings, {"source": "small", "data": "photos", "steps": "20"})
    with pytest.raises(plan.Left):
        asyncio.run(plan.plan_of(settings, order, gone))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jobs run a small program in place of the command line: it writes a run folder, and waits."""
    program = """
import json, pathlib, signal, sys, time
words = sys.argv[1:]
if "--steps=3" in words: sys.exit("error: refused")
out = pathlib.Path(next(w for w in words if w.startswith("--out=")).removeprefix("--out="))
run = out / f"{len(list(out.glob('0*-*'))):05}-run"
run.mkdir(parents=True)
config = {"verb": words[0], "name": words[1], "recipe": {"steps": 9, "batch": 2}}
(run / "config.json").write_text(json.dumps(config))
def stop(*_): sys.exit(130)
signal.signal(signal.SIGTERM, stop)
end = out.parent / "end"
while not end.exists(): time.sleep(0.02)
"""
    monkeypatch.setattr(job, "PROGRAM", program)
    main = f"import gantl_zoo.studio.job as job; job.PROGRAM = {program!r}; job.PAUSE = 0.05; job.main()"
    monkeypatch.setattr(queues, "MODULE", ["-c", main])
    return Path(main)


def test_one_job_at_a_time_and_found_again(settings: Settings, photos: Path, quick: Path) -> None:
    form = {"source": "small", "data": "photos", "steps": "9"}
    first, second, third = (Queue(settings).add(order_for(settings, form)) for _ in range(3))
    assert [one.number for one in (first, second, third)] == [1, 2, 3]

    def state(number: int) -> str:
        return Queue(settings).named(number).state  # a new queue each time: nothing is kept in memory

    wait_for(lambda: Queue(settings).named(1).run)
    wait_for(lambda: (state(2), state(3)) == ("waiting", "waiting"))
    assert state(1) == "running" and Queue(settings).named(1).run == "00000-run"
    visitor = client_of(settings)
    assert visitor.get("/jobs/1").headers["location"] == "/runs/00000-run"
    assert "running" in visitor.get("/runs/00000-run").text and "waiting" in visitor.get("/jobs/2").text
    assert visitor.post("/jobs/2/stop", headers=OWN).status_code == 303
    wait_for(lambda: state(2) == "cancelled")
    assert state(1) == "running" and state(3) == "waiting"
    assert visitor.post("/runs/00000-run/stop", headers=OWN).status_code == 303
    wait_for(lambda: state(1) == "stopped")
    wait_for(lambda: Queue(settings).named(3).run == "00001-run")
    assert visitor.post("/runs/00000-run/stop", headers=OWN).status_code == 400  # it has ended
    assert visitor.post("/runs/00000-run/resume", headers=OWN).status_code == 303
    (settings.root / "end").touch()
    wait_for(lambda: state(3) == "finished")
    refused = Queue(settings).add(order_for(settings, form | {"steps": "3"}))
    wait_for(lambda: state(refused.number) == "failed")
    assert Queue(settings).named(refused.number).message == "error: refused"
    later = settings.out / "00009-run"
    later.mkdir()
    words = job.read_json(settings.jobs / f"{refused.number:05d}" / "job.json")["words"]
    job.write_json(later / "config.json", {"verb": words[0], "name": words[1]})  # of a later job, say
    assert "error: refused" in visitor.get("/train/lists").text
    assert not Queue(settings).named(refused.number).run


@pytest.mark.skipif(sys.platform == "win32", reason="a lock can't be passed on")
def test_a_run_whose_job_is_killed_is_found_and_stopped(
    settings: Settings, photos: Path, quick: Path
) -> None:
    form = {"source": "small", "data": "photos", "steps": "9"}
    first, second = (Queue(settings).add(order_for(settings, form)) for _ in range(2))
    wait_for(lambda: Queue(settings).named(1).run)
    os.kill(job.read_json(settings.jobs / "00001" / "state.json")["pid"], signal.SIGKILL)
    wait_for(lambda: job.is_orphan(settings.jobs / "00001"))
    assert Queue(settings).named(1).state == "running" and Queue(settings).named(2).state == "waiting"
    visitor = client_of(settings)
    assert 'id="stop"' in visitor.get("/runs/00000-run").text
    assert visitor.post("/runs/00000-run/stop", headers=OWN).status_code == 303
    wait_for(lambda: Queue(settings).named(1).state == "lost")
    text = visitor.get("/runs/00000-run").text
    assert 'id="resume"' in text and "stopped" in text and "resume it" in text
    wait_for(lambda: Queue(settings).named(2).run)
    assert first.number == 1 and Queue(settings).named(second.number).state == "running"
    (settings.root / "end").touch()
    wait_for(lambda: Queue(settings).named(2).state == "finished")


def test_a_job_whose_process_is_lost(settings: Settings) -> None:
    place = settings.jobs / "00001"
    place.mkdir(parents=True)
    asked = {"words": ["transfer", "./small"], "label": "x", "created": 0.0, "out": str(settings.out)}
    job.write_json(place / "job.json", asked)
    job.write_json(place / "state.json", {"pid": 1, "began": 1.0, "first": 1})
    for number in (0, 1):
        run = settings.out / f"{number:05d}-small"
        run.mkdir(parents=True)
        assert Queue(settings).named(1).state == "lost" and not Queue(settings).named(1).run
        job.write_json(run / "config.json", {"verb": "transfer", "name": "./small"})
    assert Queue(settings).named(1).run == "00001-small"  # it had not been noted
    asked |= {"label": "y"}
    job.write_json(settings.jobs / "00002" / "job.json", asked)
    job.write_json(settings.jobs / "00002" / "state.json", {"pid": 1, "began": 2.0, "first": 1})
    assert not Queue(settings).named(1).run  # this run is of the next job
    assert Queue(settings).named(2).run == "00001-small"
    (place / "job.json").write_text("{damaged")
    assert Queue(settings).entries()[-1].label == "a run"
    with pytest.raises(UsageError, match="no job 7"):
        Queue(settings).named(7)


def test_a_run_of_the_terminal_is_shown(visitor: Any, photos: Path, settings: Settings) -> None:
    small: dict[str, Any] = {"steps": 4, "batch": 4, "metrics": "none", "quiet": True}
    gz.transfer(settings.root / "small", data=photos, out=settings.out, **small)
    (run,) = runs.runs_in(settings.out)
    text = visitor.get(f"/runs/{run.name}").text
    assert "finished" in text and "fakes000004.png" in text and "Explore" in text
    assert visitor.get(f"/runs/{run.name}/pictures/fakes000004.png").headers["content-type"] == "image/png"
    report = visitor.get(f"/runs/{run.name}/report")
    assert report.text == (run / "report.html").read_text(encoding="utf-8")
    assert "sandbox" in report.headers["content-security-policy"]
    (run / "report.html").unlink()
    assert "<html" in visitor.get(f"/runs/{run.name}/report").text
    lists = visitor.get("/train/lists").text
    assert run.name in lists and "4 of 4 steps" in lists
    both = visitor.get("/compare/both", params={"a": f"./runs/{run.name}"}).text
    assert both.count("data-sheet=") == 2 and "A:" in both
    assert "This page does not exist" in visitor.get("/nothing", headers={"Accept": "text/html"}).text
    missing = visitor.get("/runs/00009-x", headers={"Accept": "text/html"})
    assert missing.status_code == 404 and "there is no run" in missing.text
    assert visitor.post(f"/runs/{run.name}/resume", headers=OWN).status_code == 400


def test_time_left_and_curves() -> None:
    stats = [{"step": s, "images": s, "images_per_second": 50.0, "discriminator": 1 / (s + 1),
              "generator": None} for s in range(0, 100, 10)]  # fmt: skip
    assert runs.rate(stats) == 50
    (losses,) = plots_of(stats, [])
    (line,) = losses.lines
    assert line.name == "discriminator" and line.path.startswith("M52 10") and line.path.count("L") == 9
    assert "from 1 to" in losses.summary
    assert plots_of([], []) == [] and plots_of([{"step": 0, "fd_x": float("nan")}], []) == []
    (metric,) = plots_of([], [{"step": 0, "fd_x": 2.0}, {"step": 9, "fd_x": 2.0}])
    assert metric.title == "fd_x" and metric.lines[0].last == "2"
    (small,) = plots_of([{"step": s, "generator": 0.0004 + s} for s in range(3)], [])
    assert [text for _, text in small.y_ticks] == ["0", "1", "2"]
    long = [{"step": s, "generator": 1.0} for s in range(5_000)]
    assert plots_of(long, [])[0].lines[0].path.count("L") < 400
