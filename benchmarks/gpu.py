"""Training on one GPU: a table of families, then R3GAN on CIFAR-10 for the minutes that are left.

    python benchmarks/gpu.py [--minutes 8] [--data CIFAR10.zip] [--workload NAME …]
    python benchmarks/gpu.py --device cpu --quick

For each workload and each way to train it, batches are doubled until the rate no longer rises. *Eager fp32*
is this package's step in float32, contiguous, with torch's own settings and without CUDA graphs; *ours* is
the engine's choice with CUDA graphs, and *no graphs* the same without. Shares are those of the rate of a
large matrix product in bfloat16, and of the bandwidth of a large copy, both measured in the same run. The
bytes of a step are counted as if each kernel read its inputs once and wrote its outputs once.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import meters
import torch

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine, processor
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.parts import WARM_UP, Graphs, Parts
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

IMAGES = 4_096  # random ones, on the device
BETTER = 1.05  # rate of a batch twice as large for which batches are doubled again
SHARE_OF_TABLE = 0.6  # of the minutes
COLUMNS = (
    "workload", "way", "batch", "images/s", "of eager fp32", "of the matrix rate", "of the bandwidth",
    "memory, GiB", "joules an image",
)  # fmt: skip
WAYS = ("eager fp32", "no graphs", "ours")
R3: dict[str, Any] = {
    "loss": "relativistic", "aug": "ada", "aug_config": {"p": 0.1}, "r1": 0.5, "regularizer": "r2",
    "regularizer_config": {"r1.every": 1, "r2.every": 1}, "beta1": 0.0, "beta2": 0.9,
    "final": {"lr": 5e-5, "beta2": 0.99, "r1": 0.05, "aug_p": 0.3},
}  # fmt: skip
STYLEGAN2: dict[str, Any] = {
    "r1": 1.0, "regularizer": "path-length+style-mixing", "aug": "ada", "beta1": 0.0,
    "regularizer_config": {"r1.every": 16, "path-length.every": 4},
}  # fmt: skip


@dataclass(frozen=True)
class Workload:
    """Networks of one size, and the settings of their training."""

    generator: str
    side: int
    channels: int = 3
    recipe: dict[str, Any] = field(default_factory=dict)
    strategy: str = "full"
    tiny: dict[str, Any] = field(default_factory=lambda: {"width": 4})  # networks for --quick
    first: int = 64  # batch
    period: int = 1  # steps, in which all kinds of steps are made

    def trainer(self, machine: engine.Engine, batch: int, quick: bool) -> Trainer:
        """A trainer on random images."""
        tiny, side = (self.tiny, min(self.side, 32)) if quick else ({}, self.side)
        config = {"image_size": side, "channels": self.channels, **tiny}
        with torch.random.fork_rng():
            torch.manual_seed(0)
            images = torch.randint(0, 256, (64 if quick else IMAGES, self.channels, side, side))
            own = {} if self.strategy != "full" else tiny
            gan = gz.build_gan(self.generator, generator_config=config, discriminator_config=own)
            recipe = Recipe(steps=1_000_000, batch=batch, **self.recipe)
            data = ImageData(images.to(torch.uint8))
            strategy = build_strategy(self.strategy, {})
            setup = set_up(gan, strategy, data, recipe.seed, build_loss(recipe.loss, recipe.loss_config))
            return Trainer(setup, data, recipe, machine)


WORKLOADS = {
    "dcgan-28": Workload("dcgan", 28, 1, first=128),
    "dcgan-64": Workload("dcgan", 64, first=128),
    "resnet-32": Workload("resnet", 32, recipe={"loss": "hinge"}),
    "r3-32": Workload("r3", 32, recipe=R3),
    "r3-64": Workload("r3", 64, recipe=R3),
    "stylegan2-256": Workload(
        "stylegan2", 256, recipe=STYLEGAN2, first=16, period=16, tiny={"channel_base": 256, "channel_max": 4}
    ),
    "projected-64": Workload(
        "fast", 64, recipe={"loss": "hinge", "aug": "diffaugment"}, strategy="projected"
    ),
}


@dataclass
class Row:
    """One way to train a workload, at its best batch. Rates are those of a second."""

    batch: int
    images: float
    flop: float
    bytes: float
    memory: float  # bytes
    joules: float | None  # of an image
    captured: bool  # as CUDA graphs


def engine_of(way: str, device: str) -> engine.Engine:
    """The engine of a way to train."""
    if way == "eager fp32":
        return engine.choose(device, "fp32", {"memory_format": "contiguous"})
    return engine.choose(device, "auto", {"graphs": way == "ours"})


class Steps:
    """Steps of a trainer, one after another."""

    def __init__(self, trainer: Trainer) -> None:
        self.trainer, self.batches = trainer, enumerate(trainer.batches.since(0))

    def run(self, count: int) -> None:
        for _ in range(count):
            number, (pixels, labels) = next(self.batches)
            self.trainer.learn(number, pixels, labels)


def measure(
    workload: Workload, way: str, batch: int, energy: meters.Energy, options: argparse.Namespace
) -> Row:
    """Train some steps with this batch. Raises `torch.OutOfMemoryError`."""
    machine = engine_of(way, options.device)
    cuda = machine.device.type == "cuda"
    settings = contextlib.nullcontext() if way == "eager fp32" else machine.applied()
    with settings, training_modes(), seeded(0):
        trainer = workload.trainer(machine, batch, options.quick)
        steps, graphs = Steps(trainer), trainer.parts
        trainer.parts = Parts()
        steps.run(workload.period)  # what is loaded and chosen at the first use
        with meters.Work() as work:  # which must see each kernel
            steps.run(workload.period)
        trainer.parts = graphs
        if isinstance(graphs, Graphs):
            steps.run(
                (WARM_UP + 2) * workload.period
            )  # the first period shows which kinds of steps there are
        once = meters.seconds(lambda: steps.run(workload.period), machine.device)
        periods = 1 if options.quick else max(2, round(options.block / once))
        taken, joules = energy.measured(lambda: steps.run(periods * workload.period))
        memory = torch.cuda.memory_reserved(machine.device) if cuda else 0
    images = periods * workload.period * batch
    rates = (images / taken, periods * work.flop / taken, periods * work.bytes / taken)
    captured = isinstance(graphs, Graphs) and graphs.possible
    return Row(batch, *rates, memory, None if joules is None else joules / images, captured)


def released() -> None:
    """Give back the memory of the trainer before."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def at_best_batch(
    workload: Workload, way: str, until: float, energy: meters.Energy, options: argparse.Namespace
) -> Row | None:
    """The row of the batch with the highest rate, of those tried before the time is over."""
    top: Row | None = None
    batch = 4 if options.quick else workload.first
    while top is None or time.monotonic() < until:
        released()
        try:
            row = measure(workload, way, batch, energy, options)
        except torch.OutOfMemoryError:
            break
        faster = top is None or row.images > top.images * BETTER
        top = row if top is None or row.images > top.images else top
        if not faster or options.quick:
            break
        batch *= 2
    return top


def share(part: float, whole: float) -> str:
    return f"{part / whole:.2f}"


def cells(name: str, way: str, row: Row, eager: Row | None, rates: tuple[float, float]) -> list[str]:
    """The cells of a row of the table."""
    way += ", not captured" if way == "ours" and not row.captured else ""
    return [
        name, way, str(row.batch), f"{row.images:,.0f}",
        "–" if eager is None else f"{row.images / eager.images:.2f}",
        share(row.flop, rates[0]), share(row.bytes, rates[1]),
        f"{row.memory / 2**30:.1f}" if row.memory else "–",
        "–" if row.joules is None else f"{row.joules:.3g}",
    ]  # fmt: skip


def table(options: argparse.Namespace, device: torch.device) -> Iterator[str]:
    """The lines of the table, as they are measured."""
    size, bytes_ = (256, 1 << 20) if options.quick else (8_192, 1 << 30)
    rates = meters.matrix_rate(device, torch.bfloat16, size), meters.bandwidth(device, bytes_)
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else processor.machine()
    yield f"{name}, torch {torch.__version__}"
    yield f"{rates[0] / 1e12:.3g} TFLOP/s in bfloat16, {rates[1] / 1e9:.3g} GB/s"
    yield "\n| " + " | ".join(COLUMNS) + " |"
    yield "|---" * len(COLUMNS) + "|"
    energy, end = meters.Energy(device), time.monotonic() + 60 * options.minutes * SHARE_OF_TABLE
    rest = [(workload, way) for workload in options.workload for way in WAYS]
    eager: Row | None = None
    for place, (workload, way) in enumerate(rest):
        now = time.monotonic()
        until = now + (end - now) / (len(rest) - place)
        row = at_best_batch(WORKLOADS[workload], way, until, energy, options) if now < end else None
        eager = row if way == "eager fp32" else eager
        blank = [workload, way, *["–"] * (len(COLUMNS) - 2)]
        yield "| " + " | ".join(blank if row is None else cells(workload, way, row, eager, rates)) + " |"


def train_cifar(options: argparse.Namespace, minutes: float) -> Iterator[str]:
    """Train R3GAN with the γ that its paper has for CIFAR-10. The lines of the curve."""
    tiny: dict[str, Any] = {"generator_config": {"width": 4}, "discriminator_config": {"width": 4}}
    settings: dict[str, Any] = {"minutes": minutes, "batch": 256} | (
        {"steps": 4, "minutes": None, "batch": 4, "samples": 16} | tiny if options.quick else {}
    )
    settings |= {"image_size": 32, "conditional": options.conditional, "device": options.device}
    settings |= {"r1": 0.05, "final": {"r1": 0.005}, "engine_config": {"graphs": True}}
    gan = gz.train(data=options.data, preset="r3", out=options.out, report=False, **settings)
    assert gan.folder is not None
    run = gan.folder.parent
    yield f"\nR3GAN on {Path(options.data).name}, {minutes:.1f} minutes with measurements: {run}\n"
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]
    names = list(dict.fromkeys(name for row in rows for name in row))  # "step", then the metrics
    yield "| " + " | ".join(names) + " |"
    yield "|---" * len(names) + "|"
    for row in rows:
        yield "| " + " | ".join("–" if row.get(name) is None else f"{row[name]:.6g}" for name in names) + " |"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--minutes", type=float, default=8.0, help="of the whole script")
    parser.add_argument("--workload", nargs="+", choices=WORKLOADS, default=list(WORKLOADS))
    parser.add_argument("--block", type=float, default=1.5, help="seconds of a measurement")
    parser.add_argument("--data", help="the images of CIFAR-10, as a zip or folder; without them no training")
    parser.add_argument("--conditional", action="store_true", help="train with the classes of the data")
    parser.add_argument("--out", default="runs")
    parser.add_argument("--quick", action="store_true", help="tiny networks and few steps, to try the script")
    options = parser.parse_args()
    start = time.monotonic()

    def show(lines: Iterator[str]) -> None:
        for line in lines:
            print(line, flush=True)

    show(table(options, engine.choose(options.device).device))
    left = options.minutes - (time.monotonic() - start) / 60
    if options.data and left > 0:
        released()
        show(train_cifar(options, left))


if __name__ == "__main__":
    main()
