"""A report as a picture: a panel for each metric, the model's value beside that of real images."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from gantl_zoo.errors import UsageError
from gantl_zoo.metrics.result import Result

MODEL, REAL = "#3b6fb6", "#a9a9a9"
COLUMNS = 3
MOST = 20  # classes in a panel
SUFFIXES = (".png", ".pdf", ".svg")
WORDS = {
    "fd": "Fréchet distance",
    "kd": "kernel distance",
    "complement_precision": "complement precision",
    "is": "Inception score",
    "mifid": "memorisation-informed distance",
    "nn_distance": "distance to training images",
    "copies": "share of copies",
    "pd": "mean perceptual distance",
    "intra_pd": "perceptual distance within clusters",
}


class Picture(Figure):
    """A matplotlib figure that a notebook shows, with no use of pyplot."""

    def _repr_png_(self) -> bytes:
        stream = io.BytesIO()
        self.savefig(stream, format="png", dpi=110)
        return stream.getvalue()


def draw(results: Sequence[Result], model: str, path: str | Path | None) -> Picture:
    """The picture, saved in `path` if there is one. Raises `UsageError`."""
    if not results:
        raise UsageError("nothing was measured, so there is nothing to draw")
    place = None if path is None else Path(os.path.expanduser(path))
    if place is not None and place.suffix.lower() not in SUFFIXES:
        raise UsageError(f"{place} must end in {' or '.join(SUFFIXES)}")
    rows = rows_of(results)
    columns, heights = max(map(len, rows)), [max(map(height, row)) for row in rows]
    figure = Picture(figsize=(4.4 * columns, sum(heights) + 0.8), layout="constrained")
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(rows), columns, height_ratios=heights)
    for i, row in enumerate(rows):
        for j, group in enumerate(row):  # classes have a row of their own
            panel(figure.add_subplot(grid[i, :] if of_classes(group) else grid[i, j]), group)
    figure.suptitle(title_of(results, model), fontsize=10)
    if place is not None:
        save(figure, place)
    return figure


def save(figure: Picture, place: Path) -> None:
    """Write the file. Raises `UsageError` if that is not possible."""
    try:
        figure.savefig(place, dpi=110)
    except OSError as error:
        raise UsageError(f"can't write {place}: {error.strerror or error}") from error


def title_of(results: Sequence[Result], model: str) -> str:
    """What was measured on what, in at most three lines."""
    on = list(dict.fromkeys(result["on"] for result in results))
    return "\n".join([model or "Report", *on[:2]])


def rows_of(results: Sequence[Result]) -> list[list[list[Result]]]:
    """Rows of panels, each the results of one metric, or of one metric for all classes."""
    groups: dict[tuple[str, bool], list[Result]] = {}
    for result in results:
        metric = result["metric"].partition("[")[0]
        groups.setdefault((f"{metric} {result.get('extractor', '')}", of_classes([result])), []).append(
            result
        )
    whole = [group for group in groups.values() if not of_classes(group)]
    rows = [whole[i : i + COLUMNS] for i in range(0, len(whole), COLUMNS)]
    return rows + [[group] for group in groups.values() if of_classes(group)]


def of_classes(group: Sequence[Result]) -> bool:
    """Whether a panel's results are those of single classes."""
    return "[" in group[0]["metric"]


def height(group: Sequence[Result]) -> float:
    """A panel's height in inches."""
    return 0.8 + 0.42 * min(len(group), MOST) + (0.25 if len(group) == 1 else 0.0)


def panel(axes: Any, group: Sequence[Result]) -> None:
    """Bars for the model and, where it is defined, for real images; the worst classes of many."""
    shown, by_class = worst(group), of_classes(group)
    ticks, ends, place = [], [0.0], 0
    for result in shown:
        ends += bar(axes, place, result)
        ticks.append((place, class_of(result) if by_class else "model"))
        if (floor := result.get("floor")) is not None:
            place += 1
            ends += [floor]
            write(axes, axes.barh(place, floor, 0.75, color=REAL), floor, floor)
            ticks += [] if by_class else [(place, "real images")]
        place += 1
    axes.set_yticks([tick for tick, _ in ticks], [words for _, words in ticks], fontsize=9)
    axes.invert_yaxis()
    limits(axes, shown, ends)
    axes.set_title(title(group, len(shown)), fontsize=10)
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="x", labelsize=8)
    if by_class:
        legend(axes, any(result.get("floor") is not None for result in shown))


def legend(axes: Any, floors: bool) -> None:
    """Which colour is whose, above the panel."""
    from matplotlib.patches import Patch

    colours = {"model": MODEL} | ({"real images": REAL} if floors else {})
    patches = [Patch(color=colour, label=name) for name, colour in colours.items()]
    axes.legend(handles=patches, fontsize=8, loc="lower right", bbox_to_anchor=(1, 1), frameon=False)


def bar(axes: Any, place: int, result: Result) -> list[float]:
    """The model's bar with its interval. Returns the values that it reaches."""
    value, low, high = result["value"], result.get("low"), result.get("high")
    low, high = value if low is None else low, value if high is None else high
    error = [[max(value - low, 0)], [max(high - value, 0)]] if high > low else None
    drawn = axes.barh(place, value, 0.75, color=MODEL, xerr=error, ecolor="#222222", capsize=3)
    write(axes, drawn, value, max(value, high))
    return [value, low, high]


def write(axes: Any, drawn: Any, value: float, edge: float) -> None:
    """The value as text behind the end of a bar."""
    y = drawn[0].get_y() + drawn[0].get_height() / 2
    axes.annotate(
        f"{value:.3g}", (max(edge, 0), y), (4, 0), textcoords="offset points", va="center", fontsize=9
    )


def title(group: Sequence[Result], shown: int) -> str:
    """The metric in words, and which values of it are better."""
    first = group[0]
    metric = first["metric"].partition("[")[0]
    words = f"{WORDS[metric]} ({metric})" if metric in WORDS else metric
    words += " by class" if of_classes(group) else ""
    words += f", the {shown} worst of {len(group)}" if shown < len(group) else ""
    words += f"\nfeatures: {first['extractor']}" if "extractor" in first else ""
    better = {"lower": "← lower is better", "higher": "higher is better →"}.get(first.get("better", ""), "")
    return words + ("; " if "extractor" in first and better else "\n" if better else "") + better


def class_of(result: Result) -> str:
    """The class of a result, shortened in the middle."""
    name = result["metric"].partition("[")[2].rpartition("]")[0]
    name = name if len(name) <= 30 else f"{name[:14]}…{name[-15:]}"
    return name.replace("$", r"\$")  # which would begin a formula


def worst(group: Sequence[Result]) -> list[Result]:
    """The results of a panel, in their order; of too many those with the worst values."""
    if len(group) <= MOST:
        return list(group)
    sign = -1 if group[0].get("better") == "lower" else 1
    kept = sorted(range(len(group)), key=lambda i: sign * group[i]["value"])[:MOST]
    return [group[i] for i in sorted(kept)]


def limits(axes: Any, results: Sequence[Result], ends: Sequence[float]) -> None:
    """From 0, or a negative value, to the largest value, with space for its text; shares end at 1."""
    least, most = min(ends), max(ends)
    share = results[0].get("better") == "higher" and 0.3 < most <= 1 and least >= 0
    most = 1.0 if share else most
    span = (most - least) or 1.0
    axes.set_xlim(least - (0.05 * span if least < 0 else 0), most + 0.15 * span)
    if share:
        axes.set_xticks([0, 0.25, 0.5, 0.75, 1])
