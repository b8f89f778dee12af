"""`doctor`: recorded runs in which something is wrong, and healthy ones; the pictures of a run."""

from __future__ import annotations

import itertools
import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.cli.doctor import page
from gantl_zoo.runs.diagnosis.diagnosis import examine
from gantl_zoo.runs.diagnosis.records import Records
from gantl_zoo.runs.diagnosis.table import CONDITIONS
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.pictures import Pictures
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.training.gauges import update_size
from gantl_zoo.training.health import HealthMonitor, Signs
from gantl_zoo.training.losses import build_loss, chance_level
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.viz import curves, timelapse
from gantl_zoo.viz.panels import Panel

RUNS = Path(__file__).parent / "data" / "doctor"
HEALTHY = sorted(path.name for path in RUNS.glob("healthy-*"))
ILL = sorted({path.name for path in RUNS.iterdir() if path.is_dir()} - set(HEALTHY))


@pytest.mark.parametrize("name", ILL)
def test_each_recorded_run_has_the_condition_that_it_provokes(name: str) -> None:
    diagnosis = gz.doctor(RUNS / name)
    found = {finding.name: finding for finding in diagnosis.findings}
    assert name in found, diagnosis
    assert re.search(r"\d", found[name].evidence), "evidence has numbers"
    assert found[name].title in diagnosis.summary and found[name].evidence in str(diagnosis)


def test_at_least_ten_conditions_are_provoked() -> None:
    assert len(ILL) >= 10 and set(ILL) <= {one.name for one in CONDITIONS}


@pytest.mark.parametrize("name", HEALTHY)
def test_healthy_runs_raise_no_alarm(name: str) -> None:
    diagnosis = gz.doctor(RUNS / name)
    assert diagnosis.healthy, diagnosis
    assert diagnosis.summary.startswith("healthy: ")
    assert len(diagnosis.absent) >= 10


@pytest.mark.parametrize("name", [*HEALTHY, *ILL])
def test_nothing_is_reported_too_early(name: str) -> None:
    """At each check of a healthy run, the records so far have no problem, either."""
    records = Records.read(RUNS / name)
    if name not in HEALTHY:
        return
    for step, _ in records.series("diversity"):
        so_far = [row for row in records.stats if row["step"] <= step]
        early = Records(records.config, records.setup, so_far)
        assert examine(early, running=True).findings == (), step


def test_there_are_four_healthy_runs_one_of_them_relativistic() -> None:
    assert len(HEALTHY) >= 4
    losses = {Records.read(RUNS / name).recipe("loss") for name in HEALTHY}
    assert "relativistic" in losses


@pytest.mark.parametrize("name", [*HEALTHY, *ILL])
def test_recorded_runs_are_small(name: str) -> None:
    assert sum(path.stat().st_size for path in (RUNS / name).rglob("*")) < 50_000
    assert f"| `{name}` |" in (RUNS / "README.md").read_text(encoding="utf-8")


def options_of(verb: str) -> set[str]:
    from gantl_zoo.cli import app  # noqa: F401
    from gantl_zoo.cli.command import built, load

    return {option for param in built(load("train"), verb).params for option in param.opts}


@pytest.mark.parametrize("name", ILL)
def test_advice_names_options_that_exist(name: str) -> None:
    options = options_of("train") & options_of("transfer") | {"--strategy", "--strategy-arg"}
    for finding in gz.doctor(RUNS / name).findings:
        for option in re.findall(r"--[a-z][\w-]*", finding.advice):
            assert option in options | {"--metrics"}, finding


def test_a_collapse_at_step_300_is_reported_at_step_300(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Even if no statistics are logged at that step."""
    recorder = RunRecorder(RunFolder.create(tmp_path, "x", {"recipe": {"steps": 900}}, True),
                           Recipe(steps=900, log_every=1_000), None, None, "train")  # fmt: skip
    for step, diversity in ((0, 0.1), (200, 0.7), (300, 0.05)):
        recorder.signs = Signs(diversity, 0.8, None).as_row()
        if step:
            recorder.report(step)
        recorder._record(step, recorder.signs)
    log = (recorder.folder.path / "log.txt").read_text(encoding="utf-8")
    assert log.startswith("step     300  collapse: the samples are only 0.05 times as diverse as real images")
    assert "after 0.70 at step 200" in log and log.count("\n") == 1


def test_checks_between_two_logged_steps_have_rows_of_their_own(photos: Path, tmp_path: Path) -> None:
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY | {"log_every": 4, "watch_every": 3})
    rows = RunFolder(next(tmp_path.glob("0*"))).rows("stats.jsonl")
    looked = {row["step"]: row for row in rows if "diversity" in row}
    assert set(looked) == {0, 1, 3, 6} and "generator" not in looked[3] and "generator" in looked[6]
    assert {"generator_gradient", "discriminator_update"} <= rows[-1].keys()
    assert "nn_distance" in looked[6]


def test_a_run_ends_with_its_verdict(
    photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also one that is shorter than the interval of health checks."""
    gz.train("dcgan", data=photos, image_size=28, out=tmp_path, **TINY)
    folder = next(tmp_path.glob("0*"))
    log = (folder / "log.txt").read_text(encoding="utf-8").splitlines()
    verdict = "verdict: too few steps: the samples are still all alike"
    assert log[-1].startswith(verdict) and log[-1] == f"verdict: {gz.doctor(folder).summary}"
    code, out, _ = run(capsys, "doctor", folder)
    assert code == 0 and "problem: too few steps" in out and "--steps 2000" in out
    code, out, _ = run(capsys, "doctor", folder, "--json", "-")
    assert code == 0 and json.loads(out)["findings"][0]["name"] == "too-few-steps"


def test_a_run_of_few_steps_is_not_called_healthy() -> None:
    records = Records.read(RUNS / HEALTHY[0])
    for done, healthy in ((4, False), (99, False), (100, True)):
        rows = [row | {"step": done, "diversity": 0.9} for row in records.stats[-1:]]
        config = records.config | {"recipe": records.config["recipe"] | {"steps": done}}
        diagnosis = examine(Records(config, records.setup, rows))
        told = diagnosis.to_dict()
        assert not diagnosis.problems and diagnosis.done == done
        assert diagnosis.healthy == diagnosis.judged == told["healthy"] == told["judged"] == healthy
        words = "healthy: none of" if healthy else f"{done} steps are too few to judge"
        assert words in diagnosis.summary and words in str(diagnosis) and words in page(diagnosis)
        assert diagnosis.headline == ("healthy" if healthy else "too few steps to judge")


def test_what_is_no_run_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = run(capsys, "doctor", tmp_path / "nothing")
    assert code == 1 and "is not a run folder: it does not exist" in err
    model = gz.load_model("dcgan-mnist").folder
    code, _, err = run(capsys, "doctor", model)
    assert code == 1 and "is a model, not a run" in err


def test_damaged_and_missing_records_are_no_error(tmp_path: Path) -> None:
    """What can't be known is named."""
    shutil.copytree(RUNS / HEALTHY[0], tmp_path / "run")
    for name in ("setup.json", "metrics.jsonl", "model/config.json"):
        (tmp_path / "run" / name).write_text("{", encoding="utf-8")
    diagnosis = gz.doctor(tmp_path / "run")
    assert diagnosis.healthy and "frozen-too-much" in dict(diagnosis.unknown)
    (tmp_path / "run" / "stats.jsonl").write_text("", encoding="utf-8")
    assert "collapse" in dict(gz.doctor(tmp_path / "run").unknown)


def test_the_size_of_an_update_is_that_of_adam() -> None:
    parameter = torch.nn.Parameter(torch.tensor([3.0, 4.0]))
    optimizer = torch.optim.Adam([parameter], lr=0.1, betas=(0.5, 0.9))
    for slope in (1.0, -2.0, 0.5):
        before = parameter.detach().clone()
        parameter.grad = slope * torch.tensor([1.0, 3.0])
        optimizer.step()
        change = float((parameter.detach() - before).norm() / parameter.detach().norm())
        assert update_size(optimizer) == pytest.approx(change, rel=1e-4)
    assert update_size(torch.optim.SGD([parameter], lr=1.0)) is None


@pytest.mark.parametrize(
    ("loss", "level"),
    [("non-saturating", 1.386), ("relativistic", 0.693), ("hinge", 2.0), ("wasserstein", 0.0)],
)
def test_the_loss_at_chance(loss: str, level: float) -> None:
    assert chance_level(build_loss(loss)) == pytest.approx(level, abs=1e-3)


def test_samples_that_are_training_images_have_no_distance() -> None:
    torch.manual_seed(0)
    images = torch.randint(0, 256, (40, 1, 8, 8), dtype=torch.uint8)

    class Copies(torch.nn.Module):
        latent_dim = 4

        def forward(self, noise: torch.Tensor) -> torch.Tensor:
            return images[torch.arange(len(noise)) % 20].float() / 127.5 - 1

    monitor = HealthMonitor(lambda shown: shown.flatten(1), images[:20], images[20:])
    signs = monitor.look(Copies(), None, torch.device("cpu"), lambda shown: -shown)
    assert signs.nn_distance == pytest.approx(0, abs=1e-3) and signs.leak == 0.0
    leaking = HealthMonitor(lambda shown: shown.flatten(1), 255 - images[:20], images[20:])
    assert leaking.look(Copies(), None, torch.device("cpu"), lambda shown: -shown).leak == 1.0


@pytest.mark.parametrize("minutes", [0.5, 5, 60, 600, 6_000])
def test_a_run_of_any_length_has_about_twenty_pictures(tmp_path: Path, minutes: float) -> None:
    pictures, whole, times = Pictures(tmp_path), minutes * 60, list[float]()
    for i in range(1, 5_000):
        elapsed = whole * i / 5_000
        if pictures.due(elapsed, i / 5_000):
            pictures.took(elapsed, 0.01)
            times.append(elapsed)
    assert 13 <= len(times) <= 25
    gaps = [b - a for a, b in itertools.pairwise(times)]
    assert gaps[-1] >= gaps[0] and gaps[0] <= max(70, whole / 2_500)


def test_pictures_take_little_time(tmp_path: Path) -> None:
    pictures = Pictures(tmp_path)
    pictures.took(1.0, 10.0)
    assert not pictures.due(300.0, 0.5) and pictures.due(500.0, 0.5)


def test_pictures_come_without_metrics_and_survive_a_resumed_run(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pictures, "due", lambda self, elapsed, done: 0 < done < 1)
    settings = TINY | {"data": photos, "image_size": 28, "metrics_every": 100}
    whole = gz.train("dcgan", out=tmp_path / "a", **settings)
    folder = next((tmp_path / "a").glob("0*"))
    expected = [f"fakes{step:06d}.png" for step in range(7)]
    assert sorted(path.name for path in folder.glob("fakes*.png")) == expected
    pixels = {name: (folder / name).read_bytes() for name in expected}
    shutil.rmtree(folder / "checkpoints" / "00000006")  # as if it was killed after step 3
    resumed = gz.resume(folder, quiet=True)
    assert torch.equal(whole.generate(2), resumed.generate(2))
    assert {name: (folder / name).read_bytes() for name in expected} == pixels
    with Image.open(folder / "fakes.webp") as animation:
        assert animation.n_frames == 7 and max(animation.size) <= timelapse.SIDE + timelapse.BAND


def test_an_animation_is_thinned_out_and_small(tmp_path: Path) -> None:
    pictures = []
    for step in range(60):
        noise = torch.randint(0, 256, (600, 600, 3), dtype=torch.uint8).numpy()
        Image.fromarray(noise).save(tmp_path / f"{step}.png")
        pictures.append((step, tmp_path / f"{step}.png"))
    assert timelapse.write(pictures[:1], tmp_path / "one.webp") is None
    path = timelapse.write(pictures, tmp_path / "all.webp")
    assert path is not None and path.stat().st_size < 4_000_000
    with Image.open(path) as animation:
        assert animation.n_frames == timelapse.FRAMES
    assert [step for step, _ in timelapse.thinned(pictures, 4)] == [0, 20, 39, 59]


@pytest.mark.usefixtures("full_runs")
def test_curves_have_titles_units_and_what_is_good(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also those of a run with one row."""
    from matplotlib.axes import Axes

    drawn: list[Any] = []
    plot = curves.plot
    monkeypatch.setattr(curves, "plot", lambda axes, *rest: (plot(axes, *rest), drawn.append(axes)))
    stats = [
        {"step": 2, "generator": 1.0, "discriminator": 1.3, "diversity": 0.5, "saturation": None, "r1": 0.1}
    ]
    metrics = [{"step": 2, "fd_cnn": 3.0}]
    assert curves.draw(stats, metrics, tmp_path / "curves.png", {"fd_cnn": 0.5}, 1.386) is not None
    assert len(drawn) == 4 and all(isinstance(axes, Axes) and axes.get_title(loc="left") for axes in drawn)
    words = {text.get_text() for axes in drawn for text in axes.get_legend().get_texts()}
    assert {"as real images", "real images", "discriminator at chance"} <= words
    assert curves.draw([], [], tmp_path / "none.png") is None


@pytest.mark.parametrize(("low", "high"), [(2.2, 2.3), (0.5, 30.0), (1e-3, 1e1), (1e-5, 1e2), (1e-9, 1e2)])
def test_logarithmic_axes_have_a_few_ticks(low: float, high: float) -> None:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.2, 2.7))
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    rows: curves.Rows = [{"step": 0, "fd": low}, {"step": 9, "fd": high}]
    curves.plot(axes, rows, Panel(("fd",), "Distance", logarithmic=True), None)
    bottom, top = axes.get_ylim()
    assert 2 <= sum(bottom <= tick <= top for tick in axes.get_yticks()) <= 9
