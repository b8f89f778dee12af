"""Draw `curves.png`: losses, metrics and signs of health of a run, from the files that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantl_zoo.storage.atomic import replace_file

LOSSES, SIGNS = ("generator", "discriminator"), ("diversity", "saturation", "overfitting")
LEFT_OUT = ("step", "images", "images_per_second", "skipped")
Rows = list[dict[str, Any]]  # each with its "step"


def draw(stats: Rows, metrics: Rows, path: Path, floors: Any = None) -> Path | None:
    """Draw a panel for the losses, one for the health of the run, and one for each metric.

    Returns `path`, or None if there is nothing to draw.
    """
    panels = [(stats, group) for group in groups(stats)] + [(metrics, [name]) for name in names(metrics)]
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot, which has global state and may need a display
    for axes, (rows, columns) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        for name in columns:
            points = [row for row in rows if row.get(name) is not None]
            axes.plot([row["step"] for row in points], [row[name] for row in points], label=name, marker=".")
        if columns[0].startswith("fd"):
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    with replace_file(path) as beside:
        figure.savefig(beside, dpi=110)
    return path


def names(rows: Rows) -> list[str]:
    """The columns of all rows, in order of appearance."""
    return [name for name in dict.fromkeys(key for row in rows for key in row) if name not in LEFT_OUT]


def groups(rows: Rows) -> list[list[str]]:
    """The columns of each panel: both losses together, the signs of health together, all others alone."""
    columns = names(rows)
    together = [[name for name in columns if name in kind] for kind in (LOSSES, SIGNS)]
    others = [[name] for name in columns if name not in LOSSES + SIGNS]
    return [group for group in [*together, *others] if group]
