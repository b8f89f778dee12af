"""`Contents`: everything that a report shows of one run or one model."""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo.errors import TrainingError
from gantl_zoo.registry.releases import folder_at
from gantl_zoo.runs.diagnosis.diagnosis import Diagnosis, examine
from gantl_zoo.runs.diagnosis.records import Records, json_of
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.pictures import Pictures
from gantl_zoo.storage.card.facts import COLOURS
from gantl_zoo.storage.card.words import lineage, recipe_words
from gantl_zoo.storage.schema import read_config
from gantl_zoo.zoo import locate

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Contents:
    """`model` is the config.json of the model, `records` those of a run; a model alone has none.

    `address` is what `load_model` takes, `folder` where the pictures are. `floors` has for each metric its
    value for real images.
    """

    title: str
    address: str
    folder: Path
    model: Mapping[str, Any] = field(default_factory=dict)
    records: Records = field(default_factory=Records)
    diagnosis: Diagnosis | None = None

    @property
    def is_run(self) -> bool:
        """Whether it is a run."""
        return self.diagnosis is not None

    @property
    def floors(self) -> dict[str, float | None]:
        """The value of each metric for real images."""
        return {str(one["name"]): one.get("floor") for one in self.metrics}

    @property
    def metrics(self) -> Sequence[Mapping[str, Any]]:
        """The results of the kept model."""
        return self.model.get("metrics") or []

    @property
    def lineage(self) -> list[str]:
        """The chain of models from the first one to this."""
        return lineage(self.model.get("lineage", {}), self.title)

    @property
    def recipe(self) -> list[str]:
        """The settings of the training in words."""
        return list(recipe_words(self.model.get("training") or self.records.config.get("recipe", {})))

    @property
    def command(self) -> str:
        """The command that trains the model again."""
        return " ".join(str(self.model.get("training", {}).get("command", "")).split())

    @property
    def kept_step(self) -> int | None:
        """The step of the kept model."""
        step = self.model.get("training", {}).get("best_step")
        return step if isinstance(step, int) else None

    @property
    def frames(self) -> list[tuple[int, Path]]:
        """The pictures of samples by step, all from the same seeds."""
        return Pictures(self.folder).files() if self.is_run else []

    def picture(self, name: str) -> Path:
        """The path of a picture of the run; the file may not exist."""
        return self.folder / name

    @property
    def facts(self) -> list[tuple[str, str]]:
        """Rows of a table: networks, images, time, engine."""
        shape = self.model.get("image") or {}
        colour = COLOURS.get(int(shape.get("channels") or 0), "several channels")
        image = f"{shape.get('height')}×{shape.get('width')}, {colour}" if shape else ""
        networks = [self.model.get(part, {}).get("name") for part in ("generator", "discriminator")]
        rows = [
            ("images", image),
            ("networks", ", ".join(str(name) for name in networks if name)),
            ("classes", str(self.model.get("num_classes") or "")),
            ("training images", f"{self.records.images:,}" if self.records.images else ""),
            ("held-out images", "" if self.records.held_out is None else f"{self.records.held_out:,}"),
            ("recipe", ", ".join(self.recipe)),
            ("training time", duration(seconds_of(self.records.stats))),
            ("engine", str(self.records.setup.get("engine") or logged(self.records.log, "engine: "))),
            ("machine", str(self.records.setup.get("machine") or "")),
            ("licence", str(self.model.get("license") or "")),
        ]
        return [(name, value) for name, value in rows if value]

    @property
    def usage(self) -> list[str]:
        """Three lines of Python that use the model."""
        return [
            "import gantl_zoo as gz",
            f"model = gz.load_model({self.address!r})",
            'model.sample(16).save("grid.png")',
        ]

    @property
    def further(self) -> list[str]:
        """Commands that go on from here."""
        word = shlex.quote(self.address)
        return [f"gantl-zoo sample {word} --out grid.png", f"gantl-zoo transfer {word} --data ./photos"]


def contents(source: str | Path) -> Contents:
    """What there is of a run folder, a model folder, or a model's name.

    Raises `TrainingError` for the run of a classifier, and what `load_model` raises for a name.
    """
    folder = folder_at(str(source))
    run = Path(source).expanduser()
    if json_of(run / "config.json").get("kind") in ("gan-run", "classifier-run") or (
        folder is not None and "recipe" in json_of(run / "config.json")
    ):
        return of_run(run)
    place, _ = locate(source)
    config = read_config(place)
    return Contents(str(config.get("name") or source), str(source), place, config)


def of_run(run: Path) -> Contents:
    """What there is of a run, also during it."""
    if json_of(run / "config.json").get("kind") == "classifier-run":
        raise TrainingError(f"{run} is the run of a classifier; a report is about a GAN")
    records = Records.read(run)
    title = str(records.model.get("name") or run.resolve().name)
    return Contents(title, str(run), run, records.model, records, examine(records, str(run)))


def comparison_of(run: Path) -> list[str]:
    """The last lines of the log of a run that was compared with training from scratch."""
    lines = RunFolder(run).lines()
    starts = [i for i, line in enumerate(lines) if line.startswith("before transfer")]
    if not starts:
        return []
    end = next((i for i in range(starts[-1], len(lines)) if lines[i].startswith("picture: ")), len(lines))
    return lines[max(starts[-1] - 1, 0) : end]


def seconds_of(stats: Rows) -> float:
    """The seconds of training, from the speed at each row; 0 if it is not known."""
    total, before = 0.0, 0
    for row in stats:
        images, speed = row.get("images"), row.get("images_per_second")
        if isinstance(images, int) and speed:
            total += (images - before) / speed
            before = images
    return total


def duration(seconds: float) -> str:
    """Seconds in words; "" for none."""
    if not seconds:
        return ""
    minutes = seconds / 60
    if minutes < 1:
        return f"{seconds:.0f} s"
    return f"{minutes:.0f} min" if minutes < 120 else f"{minutes / 60:.1f} h"


def logged(lines: Sequence[str], start: str) -> str:
    """The rest of the first line of a log that begins so."""
    return next((line.removeprefix(start) for line in lines if line.startswith(start)), "")
