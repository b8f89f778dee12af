"""Benchmark of transfer strategies: strategies × shots × seeds for pairs of source and target.

All cells have the same networks, recipe, augmentation and number of steps. The first row of each table is the
from-scratch baseline. The measured model of a cell is the best of its run by the pair's metric.
"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

from filelock import FileLock

from gantl_zoo.bench.cells import RESULTS, Row, finished, folder, once, trained, write_text
from gantl_zoo.bench.transfer_report import SCRATCH, report
from gantl_zoo.data import load
from gantl_zoo.errors import TrainingError, UsageError, unknown
from gantl_zoo.model.gan import GAN, build_gan
from gantl_zoo.registry.arguments import from_words
from gantl_zoo.runs.evaluate import evaluate
from gantl_zoo.runs.networks import fitted_to
from gantl_zoo.runs.prepare import check_baseline
from gantl_zoo.runs.settings import TransferSettings
from gantl_zoo.runs.train import train
from gantl_zoo.runs.transfer import prepare_transfer, transfer
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.combine import build_strategy, rehearse
from gantl_zoo.training.augment.build import build_augment
from gantl_zoo.zoo import gan_named

SHOTS = (10, 100, 1000, 0)  # 0: all
LEAST = 10  # the fewest held-out images of a user's own pair
ENOUGH = 1_000  # the fewest held-out images for the Fréchet distance; below, the kernel distance is used
RECIPE: dict[str, Any] = {"lr": 8e-4, "r1": 0.5}
LOSS = "non-saturating"
SMALL: dict[str, Any] = {  # a source that trains quickly: 0.38 and 0.07 million parameters
    "generator_config": {"width": 16},
    "discriminator_config": {"width": 16, "flat": 1},
}


@dataclass(frozen=True)
class Pair:
    """A source and a target. `source` is a model; if empty, one is first trained on the data `learn`."""

    name: str
    data: str
    source: str = ""
    learn: str = ""
    note: str = ""
    extractor: str = "auto"
    metric: str = "fd"  # or "kd" if there are fewer held-out images than features

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of a cell; the first one chooses its best model."""
        return tuple(dict.fromkeys((self.metric, "auto")))


PAIRS = (
    Pair("mnist-fashion", "fashion-mnist", learn="mnist", note="far: digits to clothes"),
    Pair("mnist-glyphs", "glyphs", learn="mnist", note="near: digits to printed letters"),
    Pair("digits", "mnist:5-9", learn="mnist:0-4", note="nearest: digits 0–4 to digits 5–9"),
)


def choose_pairs(
    names: Sequence[str], source: str, data: str, data_root: str | Path | None = None
) -> tuple[Pair, ...]:
    """The pairs with these names (all by default), or a user's own pair. Raises `UsageError`."""
    if source or data:
        if names or not (source and data):
            raise UsageError("a pair of your own needs both --source and --data, without --pair")
        return (own_pair(source, data, data_root),)
    known = {pair.name: pair for pair in PAIRS}
    if strange := sorted(set(names) - set(known)):
        raise UsageError(unknown("pair", strange, known))
    return tuple(known[name] for name in names or known)


def own_pair(source: str, data: str, data_root: str | Path | None) -> Pair:
    """A user's pair. Its name has the fingerprint of the images, so that other images get another table."""
    gan = gan_named(source)
    check_baseline(gan)
    size = gan.image_shape[1]
    images, held_out = (load(data, split=s, image_size=size, root=data_root) for s in ("train", "test"))
    if len(held_out) < LEAST:
        raise UsageError(
            f"{images.name} has {len(held_out)} held-out images, but a table needs at least {LEAST}: "
            "add images (one in ten is held out), or make folders train and test"
        )
    title = re.sub(r"[^a-z0-9]+", "-", f"{Path(source).name}-{Path(data).name}".lower())
    metric = "fd" if len(held_out) >= ENOUGH else "kd"
    note = f"{len(images):,} images, {len(held_out):,} held out"
    return Pair(f"{title}-{images.fingerprint[:8]}", data, source, note=note, metric=metric)


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
    for strategy in strategies:
        build_strategy(*spelled(strategy))
    for pair, count in product(pairs, shots):
        with seeded(0):
            gan = gan_named(pair.source) if pair.source else build_gan("dcgan", **SMALL)
        settings: TransferSettings = {
            "shots": count or None,
            "data_root": data_root,
            "samples": budget.samples,
            "metrics": pair.metrics,
            "extractor": pair.extractor,
            "compare_scratch": True,
        }
        run = prepare_transfer(gan, pair.data, "full", settings)
        assert run.source is not None  # for the comparison
        for strategy in strategies:
            rehearse(build_strategy(*spelled(strategy)), run.source, run.data.train)


def choose_part(text: str) -> tuple[int, int]:
    """Parse `"2/3"` to (2, 3). Raises `UsageError`."""
    if not (found := re.fullmatch(r"(\d+)/(\d+)", text)) or not 1 <= int(found[1]) <= int(found[2]):
        raise UsageError(f"part {text!r} is not a valid I/N: give 1/2 and 2/2 for two processes")
    return int(found[1]), int(found[2])


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The training budget of each cell, and how it is measured."""

    steps: int = 4500  # here the curve of the from-scratch baseline on 1,000 images is nearly flat
    batch: int = 32
    looks: int = 20  # evaluations during training
    samples: int = 2_000
    source_steps: int = 8_000  # with batch 64, for a pair without `source`
    aug: str = "diffaugment"  # also for the baseline, which is much weaker without

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        build_augment(self.aug)  # raises for an unknown name before hours of training


@dataclass(frozen=True)
class Cell:
    """One run of a table."""

    pair: Pair
    shots: int
    strategy: str
    seed: int

    @property
    def name(self) -> str:
        strategy = re.sub(r"[^\w+]+", "-", self.strategy)
        return f"{self.pair.name}-{self.shots or 'all'}-{strategy}-{self.seed}"

    def key(self, budget: Budget) -> str:
        """A key of everything that determines the result, except the code and the source's weights."""
        return json.dumps([asdict(self), asdict(budget), RECIPE, SMALL], sort_keys=True)


def transfer_table(
    pairs: Sequence[Pair] = PAIRS,
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

    Skips finished cells. A strategy may have settings: `"freeze-d first=2"`. `part` (i, n) runs every n-th
    cell, so that n processes can share the work. The report has all finished cells of this budget in `out`.
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


def spelled(strategy: str) -> tuple[str, dict[str, Any]]:
    """Parse `"freeze-d first=2"` to a name and settings. Raises `UsageError`."""
    name, *words = strategy.split() or [""]
    return name, from_words(words, f"strategy {name}:")


def fill(cell: Cell, budget: Budget, out: Path, data_root: str | Path | None, quiet: bool) -> Row:
    """Run a cell and measure its best model."""
    source = source_of(cell.pair, budget, out, data_root, quiet)
    few: dict[str, Any] = {"shots": cell.shots or None, "data_seed": cell.seed, "data_root": data_root}
    settings: dict[str, Any] = (
        RECIPE
        | few
        | {
            "steps": budget.steps,
            "batch": budget.batch,
            "seed": cell.seed,
            "aug": budget.aug,
            "loss": LOSS,
            "metrics": (cell.pair.metric,),
            "metrics_every": max(1, budget.steps // budget.looks),
            "samples": budget.samples,
            "extractor": cell.pair.extractor,
            "out": folder(out, cell.name, cell.key(budget)),
            "quiet": quiet,
        }
    )
    whole, clock = not settings["out"].exists(), time.process_time()
    gan, run = trained(settings["out"], lambda: begin(cell, source, settings), quiet)
    seconds = time.process_time() - clock
    few["extractor"] = cell.pair.extractor
    scores = evaluate(gan, data=cell.pair.data, metrics=cell.pair.metrics, samples=budget.samples, **few)
    curve = {str(row["step"]): row[next(k for k in row if k != "step")] for row in run.rows("metrics.jsonl")}
    return {
        "pair": asdict(cell.pair),
        **{key: getattr(cell, key) for key in ("shots", "strategy", "seed")},
        "budget": asdict(budget),
        "images": gan.lineage["data"]["images"],
        "base_sha256": gan.lineage.get("base_sha256", ""),
        "best_step": gan.about["training"]["best_step"],
        "curve": {step: round(value, 3) for step, value in curve.items()},
        "scores": {r["metric"]: float(f"{r['value']:.5g}") for r in reversed(scores.results)},
        "floors": {r["metric"]: r["floor"] for r in reversed(scores.results)},  # the first of a name counts
        "how": {key: scores.results[0][key] for key in ("on", "extractor", "extractor_sha256")},
        "seconds": round(seconds, 1) if whole else None,  # unknown for a resumed run
    }


def begin(cell: Cell, source: str, settings: dict[str, Any]) -> GAN:
    """Train a cell from the source's weights, or the baseline from scratch with the source's architecture."""
    if cell.strategy != SCRATCH:
        strategy, config = spelled(cell.strategy)
        method: dict[str, Any] = {"strategy": strategy, "strategy_config": config}
        return transfer(source, data=cell.pair.data, report=False, **method, **settings)
    gan = gan_named(source)
    size = gan.image_shape[1]
    images = load(cell.pair.data, image_size=size, root=settings["data_root"])
    parts = fitted_to(images, gan, None, 0).parts  # the networks that a transfer would train
    networks = {f"{role}_config": part["config"] for role, part in parts.items()}
    generator, discriminator = (parts[part]["name"] for part in ("generator", "discriminator"))
    settings = settings | {"image_size": size, "conditional": bool(gan.num_classes) or None}
    networks["discriminator"] = discriminator
    return train(generator, data=cell.pair.data, report=False, **networks, **settings)


def source_of(pair: Pair, budget: Budget, out: Path, data_root: str | Path | None, quiet: bool) -> str:
    """The name or folder of the source model. Trains it first if the pair has none, and keeps it in `out`."""
    if pair.source:
        return pair.source
    recipe: dict[str, Any] = RECIPE | SMALL | {"steps": budget.source_steps, "batch": 64, "decay": 0.5}
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
