"""`curves.png`: what a run's losses and metrics did, drawn from the files that it wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gantl_zoo.storage.atomic import replace_file

PLAYERS, SIGNS = ("generator", "discriminator"), ("diversity", "saturation", "overfitting")
LEFT_OUT = ("step", "images", "images_per_second", "skipped")


Rows = list[dict[str, Any]]  # each with its "step"


def draw(stats: Rows, metrics: Rows, path: Path) -> Path | None:
    """Draw a panel for the losses, one for the health of the run, and one for each metric.

    Returns `path`, or None if there is nothing to draw.
    """
    panels = [(stats, group) for group in groups(stats)] + [(metrics, [name]) for name in names(metrics)]
    if not panels:
        return None
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 2.6 * len(panels)), layout="constrained")
    FigureCanvasAgg(figure)  # no pyplot: nothing global, no display
    for axes, (rows, wanted) in zip(figure.subplots(len(panels), squeeze=False)[:, 0], panels, strict=True):
        for name in wanted:
            known = [row for row in rows if row.get(name) is not None]
            axes.plot([row["step"] for row in known], [row[name] for row in known], label=name, marker=".")
        if wanted[0].startswith("fd"):
            axes.set_yscale("log")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3)
        axes.legend()
    with replace_file(path) as beside:
        figure.savefig(beside, dpi=110)
    return path


def names(rows: Rows) -> list[str]:
    """Every column that some row has, in the order in which they appear."""
    return [name for name in dict.fromkeys(key for row in rows for key in row) if name not in LEFT_OUT]


def groups(rows: Rows) -> list[list[str]]:
    """The two players' losses together, the signs of health together, each other column alone."""
    found = names(rows)
    together = [[name for name in found if name in kind] for kind in (PLAYERS, SIGNS)]
    others = [[name] for name in found if name not in PLAYERS + SIGNS]
    return [group for group in [*together, *others] if group]
