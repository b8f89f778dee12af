"""Benchmark of transfer strategies: strategies × shots × seeds for pairs of source and target.

All cells of a pair have the same networks, recipe, augmentation and number of steps, unless a method says
otherwise. The first row of each table is the from-scratch baseline. The measured model of a cell is the best
of its run by the pair's metric.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from functools import partial
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from filelock import FileLock

from gantl_zoo.bench.cells import RESULTS, Row, finished, folder, once, trained, write_text
from gantl_zoo.bench.transfer_cells import (
    SMALL,
    Budget,
    Cell,
    Method,
    budget_for,
    choose_part,
    method_of,
)
from gantl_zoo.bench.transfer_draw import count_images
from gantl_zoo.bench.transfer_pairs import (
    GREY,
    GREY_PAIRS,
    LOSS,
    PAIRS,
    Pair,
    check_held_out,
    choose_pairs,
)
from gantl_zoo.bench.transfer_report import SCRATCH, report
from gantl_zoo.bench.transfer_sheet import save_pictures
from gantl_zoo.data import load
from gantl_zoo.errors import TrainingError, UsageError
from gantl_zoo.model.gan import GAN, build_gan
from gantl_zoo.runs.evaluate import evaluate
from gantl_zoo.runs.networks import fitted_to
from gantl_zoo.runs.settings import TransferSettings
from gantl_zoo.runs.train import train
from gantl_zoo.runs.transfer import prepare_transfer, transfer
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.combine import rehearse
from gantl_zoo.zoo import gan_named

__all__ = [
    "GREY_PAIRS",
    "PAIRS",
    "RESULTS",
    "Budget",
    "Pair",
    "budget_for",
    "choose_pairs",
    "choose_part",
    "transfer_table",
]

SHOTS = (10, 100, 1000, 0)  # 0: all


def shots_of(pairs: Sequence[Pair]) -> tuple[int, ...]:
    """The numbers of training images by default: those of `SHOTS`, or all of a user's own pair or a pool."""
    return (0,) if any(pair.pool or pair not in PAIRS for pair in pairs) else SHOTS


def check(
    pairs: Sequence[Pair],
    strategies: Sequence[str],
    shots: Sequence[int],
    budget: Budget,
    data_root: str | Path | None,
) -> None:
    """Raise the errors of all cells before hours of training.

    Such as a strategy that doesn't work with these networks, more shots than images, or too few samples.
    """
    methods = [method for text in strategies if (method := method_of(text)).name != SCRATCH]
    for method in methods:
        method.strategy()
    for pair in pairs:
        check_pool(pair, shots, data_root)
    for pair, count in product(pairs, shots):
        check_cell(Cell(pair, count, SCRATCH, 0), methods, budget, data_root)


def check_cell(cell: Cell, methods: Sequence[Method], budget: Budget, data_root: str | Path | None) -> None:
    """Prepare a run with the images of a cell, and each of the methods, to raise their errors."""
    pair = cell.pair
    with seeded(0):
        gan = gan_named(pair.source) if pair.source else build_gan("dcgan", **SMALL)
    size = pair.image_size or gan.image_shape[1]
    with TemporaryDirectory() as folder:
        few = cell.data(budget, Path(folder), size, data_root)
        settings: TransferSettings = {
            "shots": few.get("shots"),
            "data_root": data_root,
            "image_size": pair.image_size or None,
            "samples": budget.samples,
            "metrics": pair.metrics,
            "extractor": pair.extractor,
            "compare_scratch": True,
        }
        run = prepare_transfer(gan, few["data"], "full", settings)
        assert run.source is not None  # for the comparison
        for method in methods:
            rehearse(method.strategy(), run.source, run.data.train)


def check_pool(pair: Pair, shots: Sequence[int], data_root: str | Path | None) -> None:
    """Raise `UsageError` if a pair's pool has fewer images than a cell needs, or leaves too few."""
    if not pair.pool:
        return
    if min(shots) < 0:
        raise UsageError(f"--shots must be at least 1, or 0 for all, not {min(shots)}")
    size = pair.image_size or gan_named(pair.source).image_shape[1]
    check_held_out(pair.data, count_images(pair.data, size, data_root) - pair.pool, pair.pool)
    if max(shots) > pair.pool:
        raise UsageError(f"--shots {max(shots)}: the images of {pair.name} are drawn from {pair.pool} only")


def transfer_table(
    pairs: Sequence[Pair] = GREY_PAIRS,
    strategies: Sequence[str] = ("full", "freeze-d"),
    shots: Sequence[int] = SHOTS,
    *,
    trials: int = 3,
    budget: Budget | None = None,
    out: str | Path = "runs/transfer",
    part: tuple[int, int] = (1, 1),
    data_root: str | Path | None = None,
    quiet: bool = True,
    say: Callable[[str], object] = lambda text: None,
) -> Path:
    """Run the cells of the tables, from-scratch baselines first; returns the report's path.

    Skips finished cells. A strategy may have settings, as in `method_of`: `"freeze-d first=2"`. `part` (i, n)
    runs every n-th cell, so that n processes can share the work. The report has all finished cells of this
    budget in `out`.
    Raises `UsageError`.
    """
    budget = budget or Budget()
    if trials < 1:
        raise UsageError(f"trials must be at least 1, not {trials}")
    check(pairs, strategies, shots, budget, data_root)
    order = product(shots, (SCRATCH, *strategies), range(trials), pairs)
    cells = [Cell(pair, count, strategy, seed) for count, strategy, seed, pair in order]
    out = Path(out)
    for cell in cells[part[0] - 1 :: part[1]]:
        make = partial(fill, cell, budget, out, data_root, quiet)
        row = once(out / RESULTS, cell.key(budget), make)
        metric = cell.pair.metric
        say(f"{cell.name}: {metric} {row['scores'][metric]:.4g} at step {row['best_step']}")
    return write_report(out, budget)


def write_report(out: Path, budget: Budget) -> Path:
    """Write the report of all finished cells of one budget in `out`; returns its path."""
    return report(out, [row for row in finished(out / RESULTS).values() if row["budget"] == asdict(budget)])


def fill(cell: Cell, budget: Budget, out: Path, data_root: str | Path | None, quiet: bool) -> Row:
    """Run a cell and measure its best model."""
    pair, place = cell.pair, folder(out, cell.name, cell.key(budget))
    source = source_of(pair, budget, out, data_root, quiet)
    size = pair.image_size or gan_named(source).image_shape[1]
    few = cell.data(budget, out, size, data_root) | {"data_root": data_root}
    settings = settings_of(cell, budget) | few | {"out": place, "quiet": quiet}
    whole, clock = not place.exists(), time.process_time()
    gan, run = trained(place, lambda: begin(cell, source, settings), quiet)
    seconds = time.process_time() - clock
    few["extractor"] = pair.extractor
    scores = evaluate(gan, metrics=pair.metrics, samples=budget.samples, **few)
    save_pictures(place, gan, settings)
    curves = curves_of(run.rows("metrics.jsonl"), settings["metrics"])
    return {
        "pair": pair.describe(),
        **{key: getattr(cell, key) for key in ("shots", "strategy", "seed")},
        "budget": asdict(budget),
        "images": gan.lineage["data"]["images"],
        "base_sha256": gan.lineage.get("base_sha256", ""),
        "best_step": gan.about["training"]["best_step"],
        "curve": curves.pop(pair.metric),
        "curves": curves,
        "folder": place.name,
        "scores": {r["metric"]: float(f"{r['value']:.5g}") for r in reversed(scores.results)},
        "floors": {r["metric"]: r["floor"] for r in reversed(scores.results)},  # the first of a name counts
        "how": {key: scores.results[0][key] for key in ("on", "extractor", "extractor_sha256")},
        "seconds": round(seconds, 1) if whole else None,  # unknown for a resumed run
    }


def settings_of(cell: Cell, budget: Budget) -> dict[str, Any]:
    """The settings of a cell's run, without its data and its folder."""
    pair = cell.pair
    return {
        "loss": LOSS,
        **pair.recipe,
        "steps": budget.steps,
        "batch": budget.batch,
        "seed": cell.seed,
        "aug": budget.aug,
        "metrics": tuple(dict.fromkeys((pair.metric, "kd"))),
        "metrics_every": max(1, budget.steps // budget.looks),
        "samples": budget.samples,
        "extractor": pair.extractor,
        **({"image_size": pair.image_size} if pair.image_size else {}),
    }


def curves_of(rows: Sequence[Row], metrics: Sequence[str]) -> dict[str, dict[str, float]]:
    """The values of each metric by step; a row has them by names such as "fd_EXTRACTOR"."""
    curves: dict[str, dict[str, float]] = {metric: {} for metric in metrics}
    for row in rows:
        for name, value in row.items():
            if (metric := name.partition("_")[0]) in curves:
                curves[metric][str(row["step"])] = round(value, 4)
    return curves


def begin(cell: Cell, source: str, settings: dict[str, Any]) -> GAN:
    """Train a cell from the source's weights, or the baseline from scratch with the source's architecture."""
    method = method_of(cell.strategy)
    settings = settings | dict(method.recipe)
    if method.name != SCRATCH:
        chosen: dict[str, Any] = {"strategy": method.name, "strategy_config": method.config}
        return transfer(source, report=False, **chosen, **settings)
    gan = gan_named(source)
    size = settings.get("image_size", gan.image_shape[1])
    images = load(settings["data"], image_size=size, root=settings["data_root"])
    parts = fitted_to(images, gan, None, 0).parts  # the networks that a transfer would train
    networks = {role: part["name"] for role, part in parts.items()}
    networks |= {f"{role}_config": part["config"] for role, part in parts.items()}
    networks |= method.networks
    settings = settings | {"image_size": size, "conditional": bool(gan.num_classes) or None}
    return train(networks.pop("generator"), report=False, **networks, **settings)


def source_of(pair: Pair, budget: Budget, out: Path, data_root: str | Path | None, quiet: bool) -> str:
    """The name or folder of the source model. Trains it first if the pair has none, and keeps it in `out`."""
    if pair.source:
        return pair.source
    recipe: dict[str, Any] = GREY | SMALL | {"steps": budget.source_steps, "batch": 64, "decay": 0.5}
    recipe |= {"metrics": (pair.metric,), "metrics_every": max(1, budget.source_steps // 8)}
    place = folder(out / "sources", pair.learn.replace(":", "-"), json.dumps(recipe, sort_keys=True))
    try:
        place.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise TrainingError(f"can't write into {out}: {error.strerror}") from error
    recipe |= {"extractor": pair.extractor, "data_root": data_root, "out": place, "quiet": quiet}
    with FileLock(place / "lock"):  # other processes wait for its training
        if not (done := place / "done").is_file():
            _, run = trained(place, lambda: train("dcgan", data=pair.learn, report=False, **recipe), quiet)
            write_text(done, run.path.name)
    return str(place / done.read_text(encoding="utf-8"))
