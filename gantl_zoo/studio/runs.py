"""`RunView`: what the pages show of a run folder, read from its files."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.runs.folder import RunFolder, runs_in
from gantl_zoo.runs.progress import duration
from gantl_zoo.studio.models import is_model
from gantl_zoo.studio.paths import inside, shown
from gantl_zoo.studio.queue import Entry, Queue
from gantl_zoo.studio.settings import Settings

PICTURE = re.compile(r"fakes\d{6,9}\.png|(reals|nearest|curves|compare)\.png|fakes\.webp", re.A)
LINES = 12  # of the log
RECENT = 5  # rows of statistics whose mean speed counts
LISTED = 30  # runs


@dataclass
class RunView:
    """A run: how far it is, what it measured, its newest pictures, and its job, if the studio started it."""

    name: str
    path: str  # as commands take it
    source: str
    data: str
    verb: str
    strategy: str
    steps: int
    step: int
    state: str
    left: str = ""
    speed: str = ""
    stats: list[dict[str, Any]] = field(default_factory=list, repr=False)
    metrics: list[dict[str, Any]] = field(default_factory=list, repr=False)
    pictures: list[tuple[int, str]] = field(default_factory=list)
    others: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=list, repr=False)
    has_model: bool = False
    job: Entry | None = None

    @property
    def share(self) -> int:
        """How much is done, in percent."""
        return min(100, 100 * self.step // self.steps) if self.steps else 0

    @property
    def active(self) -> bool:
        """Whether it is in the queue now."""
        return self.job is not None and self.job.active

    @property
    def can_resume(self) -> bool:
        """Whether there is something to continue, and nothing that continues it."""
        return not self.active and self.step < self.steps


def folder_named(settings: Settings, name: str) -> Path:
    """The folder of a run. Raises `UsageError` for names that are not those of a run."""
    if not re.fullmatch(r"\d{5,}-[^/\\\0]{1,200}", name, re.A) or name in (".", ".."):
        raise UsageError("this is not the name of a run")
    path = settings.out / name
    if path.is_symlink() or not (path / "config.json").is_file():
        raise UsageError(f"there is no run {name} in {settings.out}")
    return inside(settings, str(path))


def view_of(settings: Settings, queue: Queue, name: str) -> RunView:
    """The view of a run. Raises `UsageError`, and `TrainingError` for a folder that can't be read."""
    path = folder_named(settings, name)
    folder, config = RunFolder.open(path, quiet=True)
    steps, batch = sizes(config)
    stats, job = folder.rows("stats.jsonl"), queue.of_run(name)
    files = sorted(one.name for one in path.iterdir() if PICTURE.fullmatch(one.name) and not one.is_symlink())
    fakes = [(int(match[1]), one) for one in files if (match := re.match(r"fakes(\d+)\.png", one))]
    speed, step = (
        rate(stats),
        max([int(row["step"]) for row in stats[-1:]] + [one for one, _ in fakes[-1:]] + [0]),
    )
    return RunView(
        name=name,
        path=shown(settings, path),
        source=str(config.get("name", "")),
        data=data_name(config),
        verb=str(config.get("verb", "run")),
        strategy=str(config.get("strategy", "")),
        steps=steps,
        step=step,
        state=state_of(job, step, steps),
        left=duration((steps - step) * batch / speed) if speed and step < steps else "",
        speed=f"{speed:,.0f} images/s" if speed else "",
        stats=stats,
        metrics=folder.rows("metrics.jsonl"),
        pictures=fakes,
        others=[one for one in files if not one.startswith("fakes0")],
        log=folder.lines()[-LINES:],
        has_model=is_model(path),
        job=job,
    )


def sizes(config: dict[str, Any]) -> tuple[int, int]:
    """The steps and the images of a step."""
    recipe = config.get("recipe")
    recipe = recipe if isinstance(recipe, dict) else {}
    return int(recipe.get("steps") or 0), int(recipe.get("batch") or 0)


def data_name(config: dict[str, Any]) -> str:
    """The name of the run's data."""
    data = config.get("data")
    return str(data.get("source", "")) if isinstance(data, dict) else ""


def rate(stats: Sequence[dict[str, Any]]) -> float:
    """Images per second in the last rows; 0 if they don't say it."""
    speeds = [
        row["images_per_second"] for row in stats if isinstance(row.get("images_per_second"), (int, float))
    ]
    recent = [speed for speed in speeds[-RECENT:] if speed > 0]
    return sum(recent) / len(recent) if recent else 0.0


def state_of(job: Entry | None, step: int, steps: int) -> str:
    """The state of a run in one word."""
    if job is not None and (job.active or job.state == "failed"):
        return job.state
    if steps and step >= steps:
        return "finished"
    return "stopped" if job is not None else "not running here"


def all_runs(settings: Settings, queue: Queue) -> list[RunView]:
    """The newest runs; folders that can't be read are left out."""
    views = []
    for path in reversed(runs_in(settings.out)[-LISTED:]):
        try:
            views.append(view_of(settings, queue, path.name))
        except (ZooError, OSError, ValueError, TypeError):
            continue
    return views


def picture_in(settings: Settings, name: str, file: str) -> Path:
    """A picture of a run. Raises `UsageError` for all other files."""
    path = folder_named(settings, name) / file
    if not PICTURE.fullmatch(file) or path.is_symlink() or not path.is_file():
        raise UsageError("this run has no such picture")
    return path


def verdict(settings: Settings, name: str) -> list[dict[str, str]]:
    """What `gantl-zoo doctor` finds; [] for a run that it can't read."""
    from gantl_zoo.runs.diagnosis.diagnosis import diagnose

    try:
        diagnosis = diagnose(folder_named(settings, name))
    except ZooError:
        return []
    rows = [{"title": one.title, "text": f"{one.evidence}; {one.advice}"} for one in diagnosis.findings]
    return rows or [{"title": "", "text": diagnosis.summary}]
