"""Estimate a run: its time on this machine, its memory and its passes over the images."""

from __future__ import annotations

import copy
import statistics
import time
from collections import Counter
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UnknownNameError, UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.memory import Needed
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

TIMED = 3  # timed steps, of which the median counts
LONGEST = 1_000  # steps among which those with other regularizers are counted
WORTH_TIMING = 100  # steps; the speed of shorter runs is not measured
METRICS = 0.1  # share of a run's time that its metrics take


@dataclass(frozen=True)
class Estimate:
    """The estimate of a run. `rate` is in images per second; 0 means that it was not measured."""

    recipe: Recipe
    images: int
    needed: Needed  # memory, in bytes
    rate: float = 0.0
    measuring: bool = True  # whether the run measures its model

    @property
    def seconds(self) -> float:
        """The time of all steps and of the measurements between them; 0 without a rate."""
        return self.recipe.steps * self.recipe.batch / self.rate / share(self.measuring) if self.rate else 0.0

    @property
    def epochs(self) -> float:
        """The number of passes over the images."""
        return self.recipe.steps * self.recipe.batch / self.images

    def __str__(self) -> str:
        timing = (
            f"{duration(self.seconds)} on this machine ({self.rate:,.0f} images/s), " if self.rate else ""
        )
        passes = f"{self.epochs:,.0f}" if self.epochs >= 10 else f"{self.epochs:.2g}"
        return (
            f"about {timing}{sum(self.needed) / 2**20:,.0f} MiB of memory besides the libraries, {passes} "
            f"passes over {self.images:,} images"
        )


def share(measuring: bool) -> float:
    """The fraction of a run's time that its steps take."""
    return 1 - METRICS if measuring else 1.0


def duration(seconds: float) -> str:
    """A time in words, in a suitable unit: "40 seconds", "12 minutes", "3.5 hours"."""
    for size, unit in ((86_400, "day"), (3_600, "hour"), (60, "minute")):
        if seconds >= 1.5 * size:
            return (
                f"{seconds / size:.2g} {unit}s" if seconds < 10 * size else f"{seconds / size:,.0f} {unit}s"
            )
    return f"{max(1, round(seconds))} second{'s' if round(seconds) > 1 else ''}"


def steps_within(minutes: float, rate: float, batch: int, measuring: bool) -> int:
    """The number of steps that take so many `minutes`: at least 1, and above 10 a multiple of 10."""
    steps = int(minutes * 60 * share(measuring) * rate / batch)
    return max(1, steps if steps < 10 else steps // 10 * 10)


@training_modes()
def images_per_second(job: Job, gan: GAN, images: ImageData, engine: Engine) -> float:
    """Measure the speed of training with a few steps on copies.

    `gan` and the caller's random state are not changed. A strategy that was given as an object is timed as
    "full". All processes must call this; the clock of the main process counts. Raises what the first step of
    the run would raise.
    """
    recipe = job.recipe
    with engine.applied(), seeded(recipe.seed):
        loss = build_loss(recipe.loss, recipe.loss_config)
        setup = set_up(copy.deepcopy(gan), strategy_like(job), images, recipe.seed, loss)
        trainer = Trainer(setup, images, replace(recipe, steps=max(recipe.steps, 2)), engine)
        batch = trainer.batches.at(torch.arange(recipe.batch) % len(images))
        seconds = mean_step(trainer, *batch)
    return engine.processes.from_main(lambda: recipe.batch / seconds)


def mean_step(trainer: Trainer, pixels: Tensor, labels: Tensor | None) -> float:
    """Seconds per step in the middle of the run, averaged over steps with and without lazy regularizers."""
    regularizer = trainer.game.regularizer
    steps: int = trainer.recipe.steps
    cycle = min(regularizer.every, LONGEST, steps)
    start = steps // 2 // cycle * cycle
    kinds = Counter(regularizer.due(start + step) for step in range(cycle)).most_common()
    examples = {regularizer.due(start + step): start + step for step in reversed(range(cycle))}

    def timed(step: int) -> float:
        clock = time.perf_counter()
        losses = trainer.learn(step, pixels, labels)
        sum(map(float, losses.values()))  # waits for the device
        return time.perf_counter() - clock

    for step in (*examples.values(), start + 1):  # warm-up: kernels are selected and memory is allocated
        timed(step)
    usual, *others = kinds
    plain = statistics.median(timed(examples[usual[0]]) for _ in range(TIMED))
    extra = sum(count * max(0.0, timed(examples[due]) - plain) for due, count in others)
    return plain + extra / cycle


def strategy_like(job: Job) -> TransferStrategy:
    """A new strategy of the same cost per step; "full" if the job's strategy was given as an object."""
    try:
        return build_strategy(job.strategy, job.strategy_config)
    except (UnknownNameError, UsageError):
        return TransferStrategy()
