"""Curves as SVG that takes the colours and the fonts of the page around it."""

from __future__ import annotations

import io
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from gantl_zoo.viz.curves import Rows, panels_with_rows, plot
from gantl_zoo.viz.panels import Panel, is_logarithmic, title_of

INK = "#010203"  # replaced by the colour of the page's text
SIZE = (5.2, 2.7)  # inches
WRAP = 48  # characters of a title's line
STYLE: dict[str, Any] = {
    "svg.fonttype": "none",
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "legend.framealpha": 0.0,
    "legend.edgecolor": "none",
    "axes.spines.top": False,
    "axes.spines.right": False,
}


def curves(
    stats: Rows, metrics: Rows, floors: Mapping[str, float | None], chance: float | None, name: str
) -> list[str]:
    """The panels of a run's curves as SVG, those of metrics first. `name` keeps their ids apart."""
    panels = panels_with_rows(stats, metrics, floors)
    panels.sort(key=lambda pair: pair[0] is not metrics)  # stable
    return [drawn(rows, panel, chance, f"{name}-{i}") for i, (rows, panel) in enumerate(panels)]


def together(runs: Mapping[str, Rows], metric: str, floor: float | None) -> str:
    """One panel with a metric of several runs."""
    steps = sorted({row["step"] for rows in runs.values() for row in rows})
    values = {name: {row["step"]: row.get(metric) for row in rows} for name, rows in runs.items()}
    rows = [{"step": step} | {name: values[name].get(step) for name in runs} for step in steps]
    good = None if floor is None else (floor, None)
    panel = Panel(tuple(runs), title_of(metric), "", good, "real images", is_logarithmic(metric))
    return drawn(rows, panel, None, "together")


def drawn(rows: Rows, panel: Panel, chance: float | None, name: str) -> str:
    """One panel as an SVG element."""
    import matplotlib
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    style: Any = STYLE | {"svg.hashsalt": name}
    with matplotlib.rc_context(style):
        title = textwrap.wrap(panel.title, WRAP)
        figure = Figure(figsize=SIZE)
        FigureCanvasSVG(figure)
        axes = figure.subplots()
        # an automatic layout draws everything twice, which takes half of a report's time
        figure.subplots_adjust(left=0.15, right=0.95, bottom=0.2, top=0.96 - 0.075 * len(title))
        plot(axes, rows, panel, chance)
        axes.set_title("\n".join(title), fontsize=11, loc="left")
        axes.set_xlim(0, max([row["step"] for row in rows] + [1]))
        file = io.StringIO()
        figure.savefig(file, format="svg", transparent=True, metadata={"Date": None})
    return inline(file.getvalue(), panel.title)


def inline(text: str, title: str) -> str:
    """A file's SVG element, in the colours of the page and with a name for screen readers."""
    text = text[text.index("<svg") :]
    text = re.sub(
        r"<metadata>.*?</metadata>|<style.*?</style>", "", text, flags=re.S
    )  # a style is the page's
    text = re.sub(r"font: ([\d.]+)px [^;\"]*", r"font-size: \1px", text)
    text = re.sub(r'(<svg[^>]*?) width="[^"]*"', r"\1", re.sub(r'(<svg[^>]*?) height="[^"]*"', r"\1", text))
    return text.replace(INK, "currentColor").replace(
        "<svg", f'<svg role="img" aria-label="{words(title)}"', 1
    )


def words(text: str) -> str:
    """Text as the value of an attribute."""
    from html import escape

    return escape(" ".join(text.split()), quote=True)
