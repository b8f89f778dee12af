"""Curves of a run as SVG: the losses and the metrics over the steps. Colours come from the style sheet."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 560, 200, 52, 24, 10
POINTS = 300  # of a line, at most
LINES = 4  # in a plot


@dataclass(frozen=True)
class Line:
    """One line: its name, the attribute `d` of its path, and its last value."""

    name: str
    path: str
    last: str


@dataclass(frozen=True)
class Plot:
    """Lines on common axes; ticks are a place in pixels and a text."""

    title: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]]
    y_ticks: list[tuple[float, str]]
    summary: str
    width: int = WIDTH
    height: int = HEIGHT
    left: int = LEFT
    base: int = HEIGHT - BOTTOM


def plots_of(stats: Sequence[dict[str, Any]], metrics: Sequence[dict[str, Any]]) -> list[Plot]:
    """The plot of the losses, then one for each of the first metrics; without those that lack points."""
    losses = [key for key in keys(stats) if key in ("generator", "discriminator") or key.endswith("_loss")]
    plots = [plot("Losses", stats, losses[:LINES])]
    plots += [plot(name, metrics, [name]) for name in keys(metrics)[:2]]
    return [one for one in plots if one is not None]


def keys(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The names of all numbers, without the step."""
    return [key for key in dict.fromkeys(key for row in rows for key in row) if key not in ("step", "images")]


def plot(title: str, rows: Sequence[dict[str, Any]], names: Sequence[str]) -> Plot | None:
    """The plot of these columns over the steps; None if there are fewer than two points."""
    series = {name: points(rows, name) for name in names}
    series = {name: pairs for name, pairs in series.items() if len(pairs) > 1}
    if not series:
        return None
    steps = [step for pairs in series.values() for step, _ in pairs]
    values = [value for pairs in series.values() for _, value in pairs]
    x, y = Axis(min(steps), max(steps), LEFT, WIDTH - 8), Axis(min(values), max(values), HEIGHT - BOTTOM, TOP)
    lines = [Line(name, path_of(pairs, x, y), f"{pairs[-1][1]:.4g}") for name, pairs in series.items()]
    summary = "; ".join(
        f"{name} from {pairs[0][1]:.3g} to {pairs[-1][1]:.3g}" for name, pairs in series.items()
    )
    x_ticks = [(x.at(step), f"{step:,.0f}") for step in (x.low, (x.low + x.high) / 2, x.high)]
    y_ticks = [(y.at(value), y.text(value)) for value in (y.low, (y.low + y.high) / 2, y.high)]
    return Plot(title, lines, x_ticks, y_ticks, f"{title}: {summary}")


@dataclass
class Axis:
    """Values from `low` to `high` on the pixels from `start` to `end`."""

    low: float
    high: float
    start: float
    end: float

    def __post_init__(self) -> None:
        if self.high <= self.low:
            self.low, self.high = self.low - 0.5, self.low + 0.5

    def at(self, value: float) -> float:
        """The place of a value in pixels."""
        return round(self.start + (value - self.low) / (self.high - self.low) * (self.end - self.start), 1)

    def text(self, value: float) -> str:
        """A value as a tick shows it: 0 if it is small beside the range."""
        return f"{value:.3g}" if abs(value) > (self.high - self.low) / 200 else "0"


def points(rows: Sequence[dict[str, Any]], name: str) -> list[tuple[int, float]]:
    """Steps and finite values of a column, thinned to a few hundred."""
    pairs = [(row["step"], float(row[name])) for row in rows if isinstance(row.get(name), (int, float))]
    pairs = [pair for pair in pairs if math.isfinite(pair[1])]
    stride = max(1, len(pairs) // POINTS)
    return pairs[::stride] + ([pairs[-1]] if pairs and (len(pairs) - 1) % stride else [])


def path_of(pairs: Sequence[tuple[int, float]], x: Axis, y: Axis) -> str:
    """The attribute `d` of a line."""
    return "M" + "L".join(f"{x.at(step):g} {y.at(value):g}" for step, value in pairs)
