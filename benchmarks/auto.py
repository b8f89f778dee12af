"""What `gantl-zoo transfer` without options reaches, from the tables: `python benchmarks/auto.py`.

For each pair, number of images and number of steps in `transfer.jsonl`: the strategy that the guide's code
chooses, and the distance of that row over the best row's, means of three seeds. Trains nothing. Fails if the
recipe that the guide chooses is not the one that the tables were made with.
"""

from __future__ import annotations

import json
import statistics
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from gantl_zoo.bench.transfer import LOSS
from gantl_zoo.data import ImageData
from gantl_zoo.runs.choice import choose_recipe
from gantl_zoo.strategy.auto import Advice, Line, choose
from gantl_zoo.training.recipe import Recipe, open_settings

HERE = Path(__file__).parent
# how far each target is from its source, as README.md measures it: the least and the most, with ten images
# and with 100 or more
FAR = {
    "digits": ("digits 0–4 → 5–9", (0.0, 0.20), (0.24, 0.28)),
    "mnist-glyphs": ("digits → letters", (0.46, 0.75), (0.66, 0.69)),
    "mnist-fashion": ("digits → clothes", (0.98, 1.33), (1.17, 1.30)),
}
PLUGGED = {"adam", "cdc", "lora", "mine", "svd"}  # strategies of the plug-in gantl-zoo-fewshot
SEEDS = 3
BAR = 1.05


def tables() -> dict[tuple[str, int, int], dict[str, float]]:
    """The mean distance of each strategy that has all seeds, by pair, images (0: all) and steps."""
    cells: dict[Any, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for line in (HERE / "transfer.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        check_recipe(row)
        key = (row["pair"]["name"], row["shots"], row["budget"]["steps"])
        cells[key][row["strategy"]].append(row["scores"]["fd"])
    means = {k: {s: statistics.mean(v) for s, v in c.items() if len(v) == SEEDS} for k, c in cells.items()}
    return {key: losses for key, losses in means.items() if set(losses) - {"scratch"}}


def check_recipe(row: dict[str, Any]) -> None:
    """The guide's recipe for such images must be the one of the tables, but for its steps."""
    count = row["images"]
    images = ImageData(torch.zeros(1, 1, 1, 1, dtype=torch.uint8).expand(count, 1, 28, 28))
    guided, _ = choose_recipe(Recipe(), open_settings("transfer", {}), images)
    table = {**json.loads(row["key"])[2], "batch": row["budget"]["batch"], "aug": row["budget"]["aug"]}
    assert guided == replace(Recipe(), **table, loss=LOSS, steps=guided.steps), (guided, table)


def chosen(pair: str, shots: int, plugged: bool) -> str:
    """The guide's strategy, with or without the plug-in; the same for the least and the most distance."""
    _, few, many = FAR[pair]

    def fits(line: Line) -> bool:
        return plugged or line.strategy not in PLUGGED

    every: list[Advice] = [choose(shots or 20_000, far, fits) for far in (few if shots == 10 else many)]
    names = {str(Line(advice.strategy, advice.settings)) for advice in every}
    assert len(names) == 1, f"{pair} with {shots} images is between two lines of the guide: {names}"
    return names.pop()


def ratio(rows: dict[str, float], choice: str, plugged: bool) -> str:
    """The distance of a row over the best one's that can be had; bold beyond the bar."""
    best = min(v for s, v in rows.items() if s != "scratch" and (plugged or s.split()[0] not in PLUGGED))
    if choice not in rows:
        return "not measured"
    value = rows[choice] / best
    return f"{value:.2f}" if value <= BAR else f"**{value:.2f}**"


def table() -> str:
    """The table as Markdown."""
    lines = ["| pair | images | steps | with `gantl-zoo-fewshot` | of the best | without | of the best |"]
    lines.append("|---|---|---|---|---|---|---|")
    order = list(FAR)
    pairs = sorted(tables().items(), key=lambda it: (order.index(it[0][0]), it[0][1] or 1e9, it[0][2]))
    for (pair, shots, steps), rows in pairs:
        cells = [FAR[pair][0], f"{shots:,}" if shots else "all", f"{steps:,}"]
        for plugged in (True, False):
            choice = chosen(pair, shots, plugged)
            cells += [f"`{choice}`", ratio(rows, choice, plugged)]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
