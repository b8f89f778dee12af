"""The tables of `bench transfer` as Markdown, and their curves as pictures."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from gantl_zoo.bench.cells import Row, spread, write_text
from gantl_zoo.bench.transfer_sheet import sample_sheet
from gantl_zoo.errors import TrainingError
from gantl_zoo.storage.atomic import replace_file

SCRATCH = "scratch"
LONG = 40  # characters of a method's name, above which tables have only its first words
FEW_LOOKS = 6  # evaluations of a run, up to which a table lists them all
COLUMNS = {
    "fd": "fd",
    "kd": "KID",
    "precision": "precision",
    "complement_precision": "complement precision",
    "recall": "recall",
    "nn_distance": "nearest",
}
LEGEND = (
    "fd, KID: Fréchet and kernel distance between samples of each run's best model and held-out images of "
    "the target, mean ± standard deviation over seeds; the first of them chose the best model. of scratch: "
    "the mean, divided by that of the from-scratch baseline with the same seeds. nearest: median distance "
    "of samples to their nearest training image, divided by that of held-out images (1: as new images; 0: "
    "copies). beats scratch at: the first evaluation at which the curve is below the best point of the "
    "baseline's mean curve (in brackets: in how many runs)."
)


def report(out: Path, rows: Sequence[Row]) -> Path:
    """Write `report.md` and a picture per pair into `out`. Raises `TrainingError` if it can't."""
    if not rows:
        raise TrainingError(f"{out} has no finished cells with this budget")
    recipes, shown = {recipe_of(row) for row in rows}, short_names(names_of(rows))
    sections = [head(rows)]
    try:
        for name in dict.fromkeys(row["pair"]["name"] for row in rows):
            mine = [row for row in rows if row["pair"]["name"] == name]
            picture = draw(out / f"{name}.png", mine, shown)
            text = pair_section(mine, picture.name, shown, one_recipe=len(recipes) == 1)
            sheet = sample_sheet(out / f"{name}-samples.png", mine, shown)
            sections += [text, f"![samples]({sheet.name})"] if sheet else [text]
        path = out / "report.md"
        write_text(path, "\n\n".join(sections) + "\n")
    except OSError as error:
        raise TrainingError(f"can't write the report into {out}: {error.strerror}") from error
    return path


def head(rows: Sequence[Row]) -> str:
    """The head of a report: the budget, and how models were measured."""
    budget, how = rows[0]["budget"], rows[0]["how"]
    extractor = f"{how['extractor']} ({how['extractor_sha256']})"
    looks = f"{budget['looks']} evaluations with {budget['samples']:,} samples each"
    recipes = {recipe_of(row) for row in rows}
    recipe = f", {recipes.pop()}" if len(recipes) == 1 else ""
    shown = short_names(names_of(rows))
    long = "".join(f"\n- `{shown[name]}`: `{name}`" for name in shown if shown[name] != name)
    return (
        "# Comparison of transfer strategies\n\n"
        f"Every run: {budget['steps']:,} steps of {budget['batch']} images{recipe}, augmentation "
        f"{budget['aug']}, also from scratch; {looks}. Feature extractor: {extractor}.\n\n{LEGEND}"
        + (f"\n\nMethods with long names:\n{long}" if long else "")
    )


def recipe_of(row: Row) -> str:
    """The recipe of a cell in words; the settings of its method are not in it."""
    return ", ".join(f"{name} {value}" for name, value in json.loads(row["key"])[2].items())


def names_of(rows: Sequence[Row]) -> list[str]:
    """The strategies of all rows, the baseline first, then those from scratch."""
    names = dict.fromkeys(row["strategy"] for row in rows)
    return sorted(names, key=lambda name: (name != SCRATCH, not name.startswith(f"{SCRATCH} ")))


def short_names(names: Sequence[str]) -> dict[str, str]:
    """Each name as tables show it: long ones as their first words, as many as distinguish them."""
    long = [name for name in names if len(name) > LONG]
    return {name: f"{opening(name, long)} …" if name in long else name for name in names}


def opening(name: str, others: Sequence[str]) -> str:
    """The fewest first words of a name with which none of the others begins."""
    words = name.split()
    for count in range(1, len(words)):
        first = " ".join(words[:count])
        if sum(f"{other} ".startswith(f"{first} ") for other in others) == 1:
            return first
    return name


def pair_section(
    rows: Sequence[Row], picture: str, shown: dict[str, str] | None = None, *, one_recipe: bool = True
) -> str:
    """The section of a pair: its source, its curves, tables per number of shots.

    It also has the recipe, unless all pairs have the same. `shown` are the names of strategies in tables.
    """
    pair = rows[0]["pair"]
    shown = short_names(names_of(rows)) if shown is None else shown
    title = f"## {pair['name']}" + (f" ({pair['note']})" if pair["note"] else "")
    sources = sorted({row["base_sha256"][:12] for row in rows if row["base_sha256"]})
    steps = rows[0]["budget"]["source_steps"]
    source = pair["source"] or f"a small GAN, trained on {pair['learn']} for {steps:,} steps"
    text = f"{source} (sha256 {', '.join(sources) or 'none yet'}) → {pair['data']}."
    if not one_recipe:
        text += f" Recipe: {recipe_of(rows[0])}."
    if pool := pair.get("pool"):
        text += (
            f" Each seed draws {pool} images of the set, from which the training images are taken; up to "
            f"{rows[0]['budget']['samples']} of the others are held out."
        )
    parts = [title, text, f"![curves]({picture})"]
    for shots in sorted({row["shots"] for row in rows}, key=lambda n: n or float("inf")):
        mine = [row for row in rows if row["shots"] == shots]
        parts += [
            f"### {shots or 'all'} images" + ("" if shots else f" ({mine[0]['images']:,})"),
            renamed(table(mine), shown),
        ]
        if len(rows[0]["curve"]) <= FEW_LOOKS:
            parts.append(renamed(curve_table(mine), shown))
    return "\n\n".join(parts)


def table(rows: Sequence[Row]) -> str:
    """A table of strategies, best first, between the from-scratch baseline and real images."""
    by: dict[str, list[Row]] = {}
    for row in rows:
        by.setdefault(row["strategy"], []).append(row)
    scratch = by.pop(SCRATCH, [])
    metric = metric_of(rows)
    ranked = sorted(by.items(), key=lambda item: mean(item[1], metric) / fair(item[1], scratch, metric))
    lines = [line(name, mine, scratch) for name, mine in ([(SCRATCH, scratch)] if scratch else []) + ranked]
    first, *others = (COLUMNS[key] for key in measured(rows))
    head = [
        "strategy",
        "seeds",
        first,
        "of scratch",
        *others,
        "best at step",
        "beats scratch at",
        "core seconds",
    ]
    floors: dict[str, float | None] = next((row["floors"] for row in rows if row["floors"]), {})
    values = [floors.get(key) for key in measured(rows)]
    real = ["" if one is None else number(one, key) for one, key in zip(values, measured(rows), strict=True)]
    last = [row_of(["real images", "", real[0], "", *real[1:], "", "", ""])] if floors else []
    return "\n".join([row_of(head), "|---" * len(head) + "|", *lines, *last])


def renamed(text: str, shown: dict[str, str]) -> str:
    """The text of a table with the strategies' names as they are shown."""
    for name, short in shown.items():
        text = text.replace(f"`{name}`", f"`{short}`")
    return text


def curve_table(rows: Sequence[Row]) -> str:
    """A table of the mean distances at each evaluation, and of the kernel distance at the last one."""
    metric = metric_of(rows)
    steps = [step for step in rows[0]["curve"] if all(step in row["curve"] for row in rows)]
    ends = metric != "kd" and all(row.get("curves", {}).get("kd") for row in rows)
    head = ["strategy", *(f"{COLUMNS[metric]} after {int(step):,}" for step in steps)]
    lines = [[*head, "KID at the end"] if ends else head]
    lines.append(["---", *["---:"] * (len(lines[0]) - 1)])
    for name in names_of(rows):
        mine = [row for row in rows if row["strategy"] == name]
        values = [number(statistics.mean(row["curve"][step] for row in mine), metric) for step in steps]
        if ends:
            kernel = statistics.mean(list(row["curves"]["kd"].values())[-1] for row in mine)
            values.append(number(kernel, "kd"))
        lines.append([f"`{name}`", *values])
    return "\n".join(map(row_of, lines))


def row_of(cells: Sequence[str]) -> str:
    """A row of a Markdown table."""
    return f"| {' | '.join(cells)} |"


def metric_of(rows: Sequence[Row]) -> str:
    """The metric that chose the best model of each run."""
    return str(rows[0]["pair"]["metric"])


def measured(rows: Sequence[Row]) -> list[str]:
    """The columns of the measured scores; first the metric that chose the best models."""
    present = [key for key in COLUMNS if all(key in row["scores"] for row in rows)]
    return sorted(present, key=lambda key: key != metric_of(rows))


def line(name: str, rows: Sequence[Row], scratch: Sequence[Row]) -> str:
    """The row of one strategy."""
    cells = [spread([row["scores"][key] for row in rows], partial(number, key=key)) for key in measured(rows)]
    metric = metric_of(rows)
    ratio = f"{mean(rows, metric) / fair(rows, scratch, metric):.2f}" if scratch else ""
    best = f"{statistics.mean(row['best_step'] for row in rows):,.0f}"
    timed = [row["seconds"] for row in rows if row["seconds"] is not None]
    seconds = f"{statistics.mean(timed):.0f}" if timed else ""
    beaten = "" if name == SCRATCH or not scratch else overtakes(rows, alike(rows, scratch))
    first, *rest = cells
    return row_of([f"`{name}`", str(len(rows)), first, ratio, *rest, best, beaten, seconds])


def alike(rows: Sequence[Row], scratch: Sequence[Row]) -> list[Row]:
    """The baseline's runs with the same seeds, and so the same images, as `rows`."""
    seeds = {row["seed"] for row in rows}
    return [row for row in scratch if row["seed"] in seeds] or list(scratch)


def fair(rows: Sequence[Row], scratch: Sequence[Row], metric: str) -> float:
    """The mean score of the baseline's runs with the same seeds; 1 if there are none."""
    return mean(alike(rows, scratch), metric) if scratch else 1.0


def overtakes(rows: Sequence[Row], scratch: Sequence[Row]) -> str:
    """The mean step at which runs are first below the baseline's best, and the number of such runs."""
    goal = min(mean_curve(scratch).values())
    steps = [step for row in rows if (step := first_below(row["curve"], goal)) is not None]
    if not steps:
        return "never"
    count = "" if len(steps) == len(rows) else f" ({len(steps)} of {len(rows)})"
    return f"{statistics.mean(steps):,.0f}{count}"


def first_below(curve: dict[str, float], goal: float) -> int | None:
    """The first step at which a curve is at most `goal`; None if it never is."""
    return next((int(step) for step, value in curve.items() if value <= goal), None)


def mean_curve(rows: Sequence[Row]) -> dict[int, float]:
    """The mean of the runs' curves, without the evaluation before the first step."""
    steps = [step for step in rows[0]["curve"] if all(step in row["curve"] for row in rows) and step != "0"]
    return {int(step): statistics.mean(row["curve"][step] for row in rows) for step in steps}


def mean(rows: Sequence[Row], key: str) -> float:
    """The mean of a score over runs."""
    return float(statistics.mean(row["scores"][key] for row in rows))


def number(value: float, key: str) -> str:
    """Format a value: three digits for distances, two decimals for shares."""
    return f"{value:.3g}" if key in ("fd", "kd") else f"{value:.2f}"


def draw(path: Path, rows: Sequence[Row], shown: dict[str, str]) -> Path:
    """Plot the mean distance of each strategy against steps, with a panel per number of shots."""
    from matplotlib import colormaps
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    counts = sorted({row["shots"] for row in rows}, key=lambda n: n or float("inf"))
    figure = Figure(figsize=(4.6 * len(counts), 4.2), layout="constrained")
    FigureCanvasAgg(figure)  # not pyplot, which has global state and may need a display
    names = [SCRATCH, *sorted({row["strategy"] for row in rows} - {SCRATCH})]
    colours = dict(zip(names, ["black", *colormaps["tab20"].colors], strict=False))  # type: ignore[attr-defined]
    for axes, shots in zip(figure.subplots(1, len(counts), squeeze=False)[0], counts, strict=True):
        for name in names:
            mine = [row for row in rows if (row["shots"], row["strategy"]) == (shots, name)]
            if mine:
                curve = mean_curve(mine)
                width = 2.5 if name == SCRATCH else 1.3
                colour = colours.get(name, "grey")
                axes.plot(list(curve), list(curve.values()), label=shown[name], color=colour, linewidth=width)
        axes.set_yscale("log")
        axes.set_title(f"{shots or 'all'} images")
        axes.set_xlabel("step")
        axes.grid(alpha=0.3, which="both")
    figure.axes[0].set_ylabel(COLUMNS[metric_of(rows)])
    handles = {
        label: h for axes in figure.axes for h, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside lower center",
        ncols=min(9, 3 * len(counts)),
        fontsize=8,
    )
    with replace_file(path) as beside:
        figure.savefig(beside, dpi=90)
    return path
