"""Classifiers on few labels: strategies from `cnn-mnist`, linear probes of GANs, a GAN's samples as help.

The target is Fashion-MNIST. All methods get the same images, batches and number of steps; with samples there
are two classifiers, the one that names them and the one that is measured, of so many steps each.
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
    """How a classifier comes about: from `source` with a strategy, or from scratch without one."""

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
    """Fill the table; returns the report's path. What is finished in `out` is not done again."""
    unknown = sorted(set(shots) - set(RECIPES))
    if trials < 1 or unknown:
        known = ", ".join(map(str, RECIPES))
        raise UsageError(f"trials must be at least 1 and shots of {known} (0: all): {trials}, {unknown}")
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
    """Whether a finished row is of this table: its data, and the recipe of today."""
    return bool(row["data"] == DATA and row["recipe"] == RECIPES.get(row["shots"]))


def measured(method: Method, shots: int, settings: dict[str, Any]) -> Row:
    """Train one classifier."""
    if method.source:
        model = classify_transfer(method.source, data=DATA, strategy=method.strategy, **settings)
    else:
        model = classify_train("cnn", data=DATA, **settings)
    score = model.about["metrics"][0]["value"]
    row = {"method": method.name, "data": DATA, "shots": shots, "recipe": RECIPES[shots]}
    return row | {"seed": settings["seed"], "accuracy": score}


def report(rows: Sequence[Row]) -> str:
    """Markdown: a line a method, a column a number of images."""
    counts = sorted({row["shots"] for row in rows}, key=lambda n: n or float("inf"))
    seeds = {n: len({row["seed"] for row in rows if row["shots"] == n}) for n in counts}
    titles = [f"{n or 'all'} images ({seeds[n]} seed{'s' * (seeds[n] > 1)})" for n in counts]
    lines = [f"| | {' | '.join(titles)} |", "|---" * (len(counts) + 1) + "|"]
    for name in dict.fromkeys(row["method"] for row in rows):
        cells = []
        for count in counts:
            found = [100 * row["accuracy"] for row in rows if (row["method"], row["shots"]) == (name, count)]
            cells.append(spread(found, "{:.1f}".format) if found else "")
        lines.append(f"| {name} | {' | '.join(cells)} |")
    head = f"# Classifiers of {DATA}\n\nAccuracy in % on the test images, mean ± deviation over seeds"
    steps = "; ".join(
        f"{n or 'all'} images: {r['epochs']} epochs of batches of {r['batch']}" for n, r in RECIPES.items()
    )
    return f"{head}. {steps}.\n\n" + "\n".join(lines) + "\n"
