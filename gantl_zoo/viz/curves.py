"""Draw `curves.png`: losses, metrics and signs of health of a run, from the files that it wrote."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.viz.panels import PANELS, Panel, is_logarithmic, title_of

LEFT_OUT = ("step", "images", "images_per_second")
WIDE = 2  # panels beside each other
GOOD = "tab:green"
SHORT = 1e3  # largest ratio of the ends of a logarithmic axis with ticks at 1, 2 and 5
Rows = list[dict[str, Any]]  # each with its "step"


def draw(
    stats: Rows,
    metrics: Rows,
    path: Path,
    floors: Mapping[str, float | None] | None = None,
    chance: float | None = None,
) -> Path | None:
    """Draw panels for the losses, the gradients, the health of the run, and one for each metric.

    A green line or band shows what is good: `floors` has the value of real images for each metric, `chance`
    is the discriminator's loss if it can't tell real images from fakes. Returns `path`, or None if there is
    nothing to draw.
    """
    panels = panels_with_rows(stats, metrics, floors or {})
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(panels) // WIDE)
    figure = Figure(figsize=(6 * WIDE, 2.9 * rows), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot, which has global state and may need a display
    places = figure.subplots(rows, WIDE, squeeze=False).flat
    last = max(row["step"] for row in [*stats, *metrics])
    for (table, panel), axes in zip(panels, places, strict=False):
        plot(axes, table, panel, chance)
        axes.set_xlim(0, max(last, 1))
    for axes in list(places):  # those that are left
        axes.set_axis_off()
    with replace_file(path) as beside:
        figure.savefig(beside, dpi=100)
    return path


def panels_with_rows(
    stats: Rows, metrics: Rows, floors: Mapping[str, float | None]
) -> list[tuple[Rows, Panel]]:
    """The panels of a run, each with the rows that it draws: those of `metrics` come last."""
    panels = [(stats, panel) for panel in panels_of(stats)]
    return panels + [(metrics, metric_panel(name, floors.get(name))) for name in names(metrics)]


def plot(axes: Any, rows: Rows, panel: Panel, chance: float | None) -> None:
    """Draw one panel."""
    from matplotlib.ticker import LogLocator, NullFormatter

    lowest = float("inf")
    for name in panel.columns:
        points = [(row["step"], row[name]) for row in rows if row.get(name) is not None]
        if points:
            axes.plot(*zip(*points, strict=True), label=panel.label(name), marker=".")
            lowest = min(lowest, *(value for _, value in points))
    low, high = panel.good or (None, None)
    if panel.chance and chance:
        axes.axhline(chance, color="grey", linestyle="--", label="discriminator at chance")
    if low is not None and high is not None:
        axes.axhspan(low, high, color=GOOD, alpha=0.12, label=panel.meaning)
    elif low is not None:
        axes.axhline(low, color=GOOD, linestyle="--", label=panel.meaning)
    if panel.logarithmic and lowest > 0:
        axes.set_yscale("log")
        bottom, top = axes.get_ylim()
        # over many decades the locator gives no ticks at 1, 2 and 5
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if top / bottom < SHORT else (1,)))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:g}")
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_title(panel.title, fontsize=11, loc="left")
    axes.set_xlabel("step")
    axes.set_ylabel(panel.unit)
    axes.grid(alpha=0.3)
    axes.legend(fontsize=8)


def panels_of(rows: Rows) -> list[Panel]:
    """The panels that have numbers, and one for each column that is in none of them."""
    columns = [name for name in names(rows) if any(row.get(name) is not None for row in rows)]
    known = {name for panel in PANELS for name in panel.columns}
    panels = [panel for panel in PANELS if set(panel.columns) & set(columns)]
    return panels + [Panel((name,), title_of(name)) for name in columns if name not in known]


def metric_panel(name: str, floor: float | None) -> Panel:
    """The panel of a metric, with a line at the value of real images."""
    good = None if floor is None else (floor, None)
    return Panel((name,), title_of(name), "", good, "real images", is_logarithmic(name))


def names(rows: Rows) -> list[str]:
    """The columns of all rows, in order of appearance."""
    return [name for name in dict.fromkeys(key for row in rows for key in row) if name not in LEFT_OUT]
