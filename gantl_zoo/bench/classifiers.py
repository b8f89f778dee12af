"""Benchmark of classifiers on few labels: transfer from `cnn-mnist`, linear probes of GANs' discriminators,
and a GAN's samples as additional training images.

The target is Fashion-MNIST. All methods have the same images, batch size and number of steps. The method with
samples trains two classifiers with that many steps each: one that labels the samples, and the measured one.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from gantl_zoo.bench.cells import RESULTS, Row, finished, once, spread, write_text
from gantl_zoo.errors import UsageError
from gantl_zoo.runs.classify import classify_train, classify_transfer

DATA = "fashion-mnist"
SHOTS = (100, 1000, 0)  # 0: all
# about 600, 940 and 470 steps
RECIPES: dict[int, dict[str, int]] = {
    100: {"epochs": 150, "batch": 32},
    1000: {"epochs": 30, "batch": 32},
    0: {"epochs": 1, "batch": 128},
}


@dataclass(frozen=True)
class Method:
    """How a classifier is trained: from `source` with a strategy, or from scratch if `source` is empty."""

    name: str
    source: str = ""
    strategy: str = "full"
    extra: dict[str, Any] = field(default_factory=dict)


METHODS = (
    Method("from scratch"),
    *(Method(f"cnn-mnist, {s}", "cnn-mnist", s) for s in ("freeze", "partial", "full", "gradual", "l2-sp")),
    *(
        Method(f"{gan}'s discriminator, linear probe", gan, "freeze")
        for gan in ("dcgan-mnist", f"dcgan-{DATA}")
    ),
    Method(f"from scratch, with samples of dcgan-{DATA}", extra={"gan": f"dcgan-{DATA}"}),
)


def classifier_table(
    shots: Sequence[int] = SHOTS,
    *,
    trials: int = 3,
    out: str | Path = "runs/classifiers",
    data_root: str | Path | None = None,
    quiet: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> Path:
    """Run all cells and write the report; returns its path. Skips the cells that are finished in `out`."""
    if trials < 1:
        raise UsageError(f"trials must be at least 1, not {trials}")
    if unknown := sorted(set(shots) - set(RECIPES)):
        raise UsageError(f"shots must be among {', '.join(map(str, RECIPES))} (0: all), not {unknown[0]}")
    out = Path(out)
    for count, seed, method in product(shots, range(trials), METHODS):
        settings = RECIPES[count] | {"shots": count or None, "data_seed": seed, "seed": seed} | method.extra
        key = json.dumps([method.name, DATA, settings], sort_keys=True)
        place = {"out": out / "runs", "data_root": data_root, "quiet": quiet}
        row = once(out / RESULTS, key, partial(measured, method, count, settings | place))
        say(f"{method.name}, {count or 'all'} images, seed {seed}: {row['accuracy']:.4f}")
    path = out / "report.md"
    write_text(path, report([row for row in finished(out / RESULTS).values() if current(row)]))
    return path


def current(row: Row) -> bool:
    """Whether a finished row has this table's data and the current recipe."""
    return bool(row["data"] == DATA and row["recipe"] == RECIPES.get(row["shots"]))


def measured(method: Method, shots: int, settings: dict[str, Any]) -> Row:
    """Train and measure one classifier."""
    if method.source:
        model = classify_transfer(method.source, data=DATA, strategy=method.strategy, **settings)
    else:
        model = classify_train("cnn", data=DATA, **settings)
    score = model.about["metrics"][0]["value"]
    row = {"method": method.name, "data": DATA, "shots": shots, "recipe": RECIPES[shots]}
    return row | {"seed": settings["seed"], "accuracy": score}


def report(rows: Sequence[Row]) -> str:
    """The report as Markdown: a row per method, a column per number of images."""
    counts = sorted({row["shots"] for row in rows}, key=lambda n: n or float("inf"))
    seeds = {n: len({row["seed"] for row in rows if row["shots"] == n}) for n in counts}
    titles = [f"{n or 'all'} images ({seeds[n]} seed{'s' * (seeds[n] > 1)})" for n in counts]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(counts) + 1) + "|"]
    for name in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for count in counts:
            accuracies = [
                100 * row["accuracy"] for row in rows if (row["method"], row["shots"]) == (name, count)
            ]
            cells.append(spread(accuracies, "{:.1f}".format) if accuracies else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    head = (
        f"# Classifiers of {DATA}\n\nAccuracy in % on the test images, mean ± standard deviation over seeds"
    )
    steps = "; ".join(
        f"{n or 'all'} images: {r['epochs']} epochs of batches of {r['batch']}" for n, r in RECIPES.items()
    )
    return f"{head}. {steps}.\n\n" + "\n".join(lines) + "\n"
