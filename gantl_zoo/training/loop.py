"""The loop around the step: data order, chance, averaging; observers look on at their own pace."""

from __future__ import annotations

import copy
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.gan import GAN
from gantl_zoo.training import checkpoint, ema
from gantl_zoo.training.augment import build_augment
from gantl_zoo.training.engine import Engine, seeded
from gantl_zoo.training.losses import R1, build_loss
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.step import Game, Player, train_step
from gantl_zoo.transfer.strategy import Plan, TransferStrategy


class Observer(Protocol):
    """What looks on. Each method is called with the number of steps that are done."""

    def on_log(self, step: int, losses: dict[str, float], rate: float) -> None: ...
    def on_metrics(self, step: int, gan: GAN) -> None: ...
    def on_step(self, step: int) -> None: ...
    def state(self) -> dict[str, Any]: ...
    def restore(self, state: dict[str, Any], step: int) -> None: ...


class Trainer:
    """One run: a GAN that changes, its average, the players, the data."""

    def __init__(
        self, gan: GAN, strategy: TransferStrategy, data: ImageData, recipe: Recipe, engine: Engine
    ) -> None:
        self.gan, self.data, self.recipe, self.engine = gan, data, recipe, engine
        self.average: nn.Module = copy.deepcopy(gan.generator).eval().requires_grad_(False)
        self.plan: Plan = strategy.prepare(copy.deepcopy(gan), gan, data)
        rival = gan.discriminator if self.plan.discriminator is None else self.plan.discriminator
        networks = {"generator": gan.generator, "discriminator": rival} | self.plan.modules
        for network in [*networks.values(), self.average]:
            engine.place(network)
        self.game = Game(
            Player("generator", gan.generator, self.plan, recipe),
            Player("discriminator", rival, self.plan, recipe),
            build_loss(recipe.loss),
            strategy,
            build_augment(recipe.aug),
            R1(recipe.r1),
            engine,
        )
        self.networks = {"generator": gan.generator, "discriminator": rival}
        self.pixels = data.images.to(engine.device)  # uint8; normalised a batch at a time

    def snapshot(self) -> GAN:
        """The model as it would be saved now: the average, folded back by the strategy."""
        gan = GAN(
            self.average, self.game.discriminator.network, self.gan.parts, self.gan.about, self.gan.name
        )
        return self.game.strategy.export(gan)

    def run(self, observer: Observer, folder: Path | None = None, resume: bool = False) -> None:
        """Train from step 0, or from the newest checkpoint in `folder`, to `recipe.steps`."""
        recipe, start = self.recipe, 0
        if resume and folder is not None:
            state = checkpoint.restore(folder, self.game, self.average)
            start = state["step"]
            observer.restore(state["observer"], start)
        with seeded(recipe.seed):
            if start == 0:
                observer.on_metrics(0, self.snapshot())
            clock, counted = time.perf_counter(), start
            for step, index in enumerate(order(len(self.data), recipe, start), start):
                losses = self.step(step, index)
                done = step + 1
                observer.on_step(done)
                if done % recipe.log_every == 0 or done == recipe.steps:
                    numbers = {name: float(value) for name, value in losses.items()}
                    rate = (done - counted) * recipe.batch / (time.perf_counter() - clock)
                    observer.on_log(done, numbers, rate)
                    clock, counted = time.perf_counter(), done
                if done % recipe.metrics_every == 0 or done == recipe.steps:
                    observer.on_metrics(done, self.snapshot())
                    clock = time.perf_counter()
                if folder is not None and (done % recipe.checkpoint_every == 0 or done == recipe.steps):
                    state = {"step": done, "images": done * recipe.batch, "observer": observer.state()}
                    checkpoint.save(folder, self.game, self.average, state)
                    clock = time.perf_counter()

    def step(self, step: int, index: Tensor) -> dict[str, Tensor]:
        """One step on the images at `index`, then the average."""
        seed_step(self.recipe.seed, step)
        self.game.strategy.on_step(step, self.plan)
        self.plan.apply(self.networks)
        for player in (self.game.generator, self.game.discriminator):
            player.slow_down(self.recipe.lr_factor(step))
        real = to_float(self.pixels[index.to(self.pixels.device)])  # (N, C, H, W)
        real = real.contiguous(memory_format=torch.channels_last)
        losses = train_step(self.game, real, step)
        batch = self.recipe.batch
        ema.update(self.average, self.gan.generator, batch, (step + 1) * batch, self.recipe.ema_images)
        return losses


def seed_step(seed: int, step: int) -> None:
    """Chance is a function of seed and step: a resumed run draws what an unbroken one would have."""
    torch.manual_seed((seed << 32) + step)


def order(count: int, recipe: Recipe, start: int) -> Iterator[Tensor]:
    """Indices (batch,) of each step from `start` on: every epoch is a shuffle of its own.

    A pure function of seed and step, too. Epochs join without a short batch between them.
    """
    epoch, shuffled = -1, torch.empty(0, dtype=torch.long)
    for step in range(start, recipe.steps):
        wanted = torch.arange(step * recipe.batch, (step + 1) * recipe.batch)
        parts = []
        for number in range(int(wanted[0]) // count, int(wanted[-1]) // count + 1):
            if number != epoch:
                generator = torch.Generator().manual_seed((recipe.seed << 32) + number)
                epoch, shuffled = number, torch.randperm(count, generator=generator)
            parts.append(shuffled[wanted[wanted // count == number] % count])
        yield torch.cat(parts)
