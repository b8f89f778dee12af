"""`Records`: the files that a run wrote, as series of numbers."""

from __future__ import annotations

import json
import math
import statistics
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo.runs.folder import RunFolder

Row = dict[str, Any]
Series = list[tuple[int, float]]  # (step, value), by step


@dataclass(frozen=True)
class Records:
    """`config` is the run's config.json, `setup` its setup.json, `model` the config.json of its model.

    `stats` and `metrics` are the rows of the files of these names, `log` the lines of log.txt. `over` is
    whether the run has reached its last step. Runs of earlier versions have no setup.json.
    """

    config: Row = field(default_factory=dict)
    setup: Row = field(default_factory=dict)
    stats: list[Row] = field(default_factory=list)
    metrics: list[Row] = field(default_factory=list)
    model: Row = field(default_factory=dict)
    log: list[str] = field(default_factory=list)

    @classmethod
    def read(cls, run: str | Path) -> Records:
        """Read the records of a run folder. Raises `TrainingError` if it is not the folder of a GAN's run."""
        folder, config = RunFolder.open(run, quiet=True)
        stats, metrics = folder.rows("stats.jsonl"), folder.rows("metrics.jsonl")
        model, setup = (json_of(folder.path / name) for name in ("model/config.json", "setup.json"))
        return cls(config, setup, stats, metrics, model, folder.lines())

    def recipe(self, key: str, usual: Any = None) -> Any:
        """A setting of the recipe."""
        return self.config.get("recipe", {}).get(key, usual)

    @property
    def steps(self) -> int:
        """The number of steps that the run should take."""
        return int(self.recipe("steps", 0))

    @property
    def done(self) -> int:
        """The last step of which there is a record."""
        return max((row["step"] for row in [*self.stats, *self.metrics]), default=0)

    @property
    def over(self) -> bool:
        """Whether the run has reached its last step."""
        return self.done >= self.steps > 0

    def series(self, name: str, start: int = 1) -> Series:
        """The finite values of a column of `stats` from step `start` on."""
        rows = [row for row in self.stats if row["step"] >= start and is_number(row, name)]
        return [(row["step"], float(row[name])) for row in rows]

    def last(self, name: str) -> float | None:
        """The newest value of a column of `stats`."""
        series = self.series(name)
        return series[-1][1] if series else None

    def late(self, name: str, share: float = 0.34) -> float | None:
        """The median of a column's values in the last `share` of the steps so far."""
        return middle([value for step, value in self.series(name) if step > self.done * (1 - share)])

    def early(self, name: str, share: float = 0.25) -> float | None:
        """The median of a column's values in the first `share` of the steps so far."""
        return middle([value for step, value in self.series(name) if step <= self.done * share])

    @property
    def deciding(self) -> str:
        """The metric that decides which model is kept: the first one of which lower or higher is better."""
        results = self.model.get("metrics") or []
        directed = [result["name"] for result in results if result.get("better")]
        return directed[0] if directed else ""

    @property
    def result(self) -> Row:
        """The kept model's value of the deciding metric, with its interval and its floor."""
        results = self.model.get("metrics") or []
        return next((result for result in results if result["name"] == self.deciding), {})

    @property
    def scores(self) -> Series:
        """The values of the deciding metric, as numbers of which lower is better."""
        sign = -1 if self.result.get("better") == "higher" else 1
        rows = [row for row in self.metrics if is_number(row, self.deciding)]
        return [(row["step"], sign * float(row[self.deciding])) for row in rows]

    @property
    def images(self) -> int | None:
        """The number of training images."""
        lineage = self.model.get("lineage", {}).get("data", {})
        count = self.setup.get("images", lineage.get("images", self.config.get("data", {}).get("shots")))
        return None if count is None else int(count)

    @property
    def held_out(self) -> int | None:
        """The number of held-out images."""
        count = self.setup.get("held_out", self.result.get("real"))
        return None if count is None else int(count)

    @property
    def side(self) -> int | None:
        """The height of the images, in pixels."""
        shape = self.setup.get("image_shape")
        return int(shape[1]) if shape else self.config.get("data", {}).get("image_size")

    @property
    def adversarial(self) -> bool:
        """Whether a discriminator was trained."""
        return bool(self.series("discriminator"))

    @property
    def chance(self) -> float | None:
        """The discriminator's loss if it can't tell real images from fakes; None if it is 0 or not known."""
        return self.setup.get("chance") or None

    @property
    def gamma(self) -> float:
        """The weight γ of R1; 0 if it was off."""
        config = self.recipe("regularizer_config", {})
        named = config.get("r1.gamma", config.get("gamma", 1.0))
        return float(self.recipe("r1", 0.0) or ("r1" in self.regularizers and named) or 0.0)

    @property
    def regularizers(self) -> list[str]:
        """The names of the regularizers, without the short form r1."""
        return [name for name in self.recipe("regularizer", "none").split("+") if name != "none"]

    @property
    def start_gamma(self) -> float:
        """A γ of R1 to start from: 1 at 64 pixels, and in proportion to the side, as in the presets."""
        return (self.side or 64) / 64

    @property
    def strength(self) -> float | None:
        """The probability of the augmentation; None if it has none."""
        probability = self.last("p")
        return self.recipe("aug_config", {}).get("p") if probability is None else probability

    def trained_share(self, role: str) -> float | None:
        """The share of the parameters of a network that were trained."""
        trained, total = self.setup.get("trained", {}).get(role, (None, 0))
        return trained / total if total else None


def is_number(row: Row, name: str) -> bool:
    """Whether a row has a finite number in this column."""
    return isinstance(row.get(name), (int, float)) and math.isfinite(row[name])


def middle(values: list[float]) -> float | None:
    """The median; None without values."""
    return statistics.median(values) if values else None


def json_of(path: Path) -> Row:
    """The object in a JSON file; empty if there is none, or if it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return value if isinstance(value, dict) else {}
