"""The loop around the step: data order, chance, averaging; observers look on at their own pace."""

from __future__ import annotations

import copy
import math
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData, Stream, to_float
from gantl_zoo.errors import Stopped, TrainingError
from gantl_zoo.model.gan import GAN
from gantl_zoo.seeding import order, seed_step, seeded
from gantl_zoo.training import checkpoint, ema
from gantl_zoo.training.augment.build import build_augment
from gantl_zoo.training.callback import Observer
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.interrupt import Interrupt
from gantl_zoo.training.losses import R1, build_loss
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import Setup, check_engine
from gantl_zoo.training.step import Game, Player, train_step

ASK_EVERY = 10  # steps between two questions whether another process was interrupted


class Trainer:
    """One run: a GAN that changes, its average, the players, the data."""

    def __init__(self, setup: Setup, data: ImageData, recipe: Recipe, engine: Engine) -> None:
        self.setup, self.gan, self.plan = setup, setup.gan, setup.plan
        self.data, self.recipe, self.engine = data, recipe, engine
        check_engine(recipe, engine)
        # after the strategy, which may have changed what the run begins with
        self.average: nn.Module = copy.deepcopy(self.gan.generator).eval().requires_grad_(False)
        self.networks = setup.networks
        augment = build_augment(recipe.aug).to(engine.device)
        for network in [*self.networks.values(), *self.plan.modules.values(), self.average]:
            engine.place(network)
        self.game = Game(
            Player("generator", self.gan.generator, self.plan, recipe, engine),
            Player("discriminator", setup.discriminator, self.plan, recipe, engine),
            build_loss(recipe.loss),
            setup.strategy,
            augment,
            R1(recipe.r1),
            engine,
            recipe.accumulate,
        )
        modules = [*self.networks.values(), *self.plan.modules.values(), augment]
        self.buffers = [b for module in modules for b in module.buffers() if b.is_floating_point()]
        streamed = isinstance(data.images, Stream)
        self.pixels = data.images if streamed else data.images.to(engine.device)  # uint8
        self.labels = None if setup.labels is None else setup.labels.to(engine.device)
        self.switches: tuple[bool, ...] | None = None  # which groups the networks were last told of
        self.skipped = torch.zeros((), device=engine.device)  # steps
        self.in_a_row = torch.zeros((), device=engine.device)
        self.rollbacks = 0
        self.sound = 0  # the last step at which the collapse watch found nothing

    def snapshot(self) -> GAN:
        """The model as it would be saved now: the average, folded back by the strategy."""
        gan = GAN(
            self.average, self.game.discriminator.network, self.gan.parts, self.gan.about, self.gan.name
        )
        return self.game.strategy.export(gan)

    def run(self, observer: Observer, folder: Path | None = None, resume: bool = False) -> None:
        """Train from step 0, or from the newest checkpoint in `folder`, to `recipe.steps`.

        Raises `TrainingError` if gradients stay not finite, `Stopped` after an interruption.
        """
        step = self.restore(folder, observer) if resume and folder is not None else 0
        with seeded(self.recipe.seed), Interrupt() as interrupt:
            if step == 0:
                observer.on_metrics(0, self.snapshot())
                self.save(0, observer, folder)
            while step < self.recipe.steps:
                step = self.train_until_stop(step, observer, folder, interrupt)

    def train_until_stop(
        self, start: int, observer: Observer, folder: Path | None, interrupt: Interrupt
    ) -> int:
        """Train from step `start` to the end or to a roll-back; returns the step to go on from."""
        recipe = self.recipe
        clock, counted = time.perf_counter(), start
        for step, (pixels, labels) in enumerate(self.batches(start), start):
            losses = self.learn(step, pixels, labels)
            done, last = step + 1, step + 1 == recipe.steps
            observer.on_step(done)
            pause = time.perf_counter()
            trouble = self.watch(done, observer) if done % recipe.watch_every == 0 else ""
            clock += time.perf_counter() - pause
            if done % recipe.log_every == 0 or last:
                numbers = {name: float(value) for name, value in losses.items()}
                rate = (done - counted) * recipe.batch / (time.perf_counter() - clock)
                observer.on_log(done, numbers | self.health(), rate)
                trouble = trouble or self.diagnosis(numbers)
                clock, counted = time.perf_counter(), done
            if trouble:
                return self.roll_back(folder, observer, trouble)
            pause = time.perf_counter()
            if observer.wants_metrics(done) or last:
                observer.on_metrics(done, self.snapshot())
            if done % recipe.checkpoint_every == 0 or last or observer.best_step == done:
                self.save(done, observer, folder)
            clock += time.perf_counter() - pause
            self.stop_if_asked(interrupt, done, observer, folder)
        return recipe.steps

    def batches(self, start: int) -> Iterator[tuple[Tensor, Tensor | None]]:
        """This process's images (n, C, H, W) uint8 and labels (n,) of each step from `start` on; streamed
        images by workers.
        """

        def shares() -> Iterator[Tensor]:
            recipe, count = self.recipe, len(self.data)
            indices = order(count, batch=recipe.batch, seed=recipe.seed, start=start, steps=recipe.steps)
            return map(self.engine.processes.share, indices)

        if isinstance(self.data.images, Stream):  # workers are ahead, so labels walk through the same order
            images = self.data.images.batches(shares(), self.engine.workers)
            return zip(images, (self.labels_at(index) for index in shares()), strict=False)
        return ((self.pixels[index.to(self.pixels.device)], self.labels_at(index)) for index in shares())

    def labels_at(self, index: Tensor) -> Tensor | None:
        """The labels (n,) of the images at `index`, if anybody asks for them."""
        return None if self.labels is None else self.labels[index.to(self.labels.device)]

    def step(self, step: int, index: Tensor) -> dict[str, Tensor]:
        """One step on the images at `index`, of which this process takes its share."""
        index = self.engine.processes.share(index)
        return self.learn(step, self.pixels[index.to(self.pixels.device)], self.labels_at(index))

    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """One step on `pixels` (n, C, H, W), uint8, and their labels (n,); then the average."""
        recipe, processes = self.recipe, self.engine.processes
        self.game.strategy.on_step(step, self.plan)
        if self.switches != self.plan.switches():
            self.plan.apply(self.networks)
            self.switches = self.plan.switches()
        for player in (self.game.generator, self.game.discriminator):
            player.slow_down(recipe.lr_factor(step) * 0.5**self.rollbacks)
        seed_step(recipe.seed, step)  # all processes draw the whole batch alike, and take their share of it
        latent_dim: Any = self.gan.generator.latent_dim
        noise = processes.share(torch.randn(recipe.batch, latent_dim, device=self.engine.device))  # (N, Z)
        seed_step(recipe.seed, step, processes.rank)
        real = to_float(pixels.to(self.engine.device))
        before = [buffer.clone() for buffer in self.buffers]
        real = real.contiguous(memory_format=self.engine.layout)
        losses = train_step(self.game, real, noise, step, labels)
        self.undo_if_skipped(before)
        batch = recipe.batch
        ema.update(self.average, self.gan.generator, batch, (step + 1) * batch, recipe.ema_images)
        return losses

    @torch.no_grad()
    def undo_if_skipped(self, before: list[Tensor]) -> None:
        """Count a skipped step and undo what it did to running statistics; agree on these otherwise."""
        self.engine.processes.average(self.buffers)
        failed = torch.maximum(self.game.generator.failed, self.game.discriminator.failed)
        for buffer, old in zip(self.buffers, before, strict=True):
            buffer.copy_(torch.where(failed > 0, old, buffer))
        self.skipped += failed
        self.in_a_row.copy_((self.in_a_row + 1) * failed)

    def health(self) -> dict[str, float]:
        """What is logged beside the losses."""
        found = {"skipped": float(self.skipped)} if self.skipped else {}
        return found | {name: float(b) for name, b in self.game.augment.named_buffers() if name == "p"}

    def diagnosis(self, losses: dict[str, float]) -> str:
        """What is wrong if too many steps in a row were skipped, or else nothing."""
        count = int(self.in_a_row)
        if count < self.recipe.skip_limit:
            return ""
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        where = f"the loss of {', '.join(broken)}" if broken else "a gradient"
        return f"{where} was not finite in the last {count} steps"

    def watch(self, step: int, observer: Observer) -> str:
        """Why to go back, if the run has collapsed and its recipe says so; the same in all processes."""
        found = self.engine.processes.from_main(lambda: observer.on_watch(step, self))
        self.switches = None  # whoever looked may have put a network into eval mode
        self.sound = self.sound if found else step
        if found and self.recipe.on_collapse == "stop":
            raise TrainingError(f"stopped at step {step}: {found}")
        return found if self.recipe.on_collapse == "rollback" else ""

    def roll_back(self, folder: Path | None, observer: Observer, why: str) -> int:
        """Return to the last healthy checkpoint with half the learning rate, as often as the recipe allows.

        With `on_collapse="rollback"` the collapse watch must have found nothing after it.
        """
        advice = "try a lower --lr, --precision fp32, or a larger --r1"
        if folder is None or self.rollbacks >= self.recipe.rollback_limit:
            raise TrainingError(f"{why}, after {self.rollbacks} roll-backs with half the rate each; {advice}")
        rollbacks = self.rollbacks + 1
        if self.recipe.on_collapse == "rollback" and self.engine.processes.main:
            checkpoint.forget_after(folder, checkpoint.newest(folder, self.sound))
        step = self.restore(folder, observer)
        self.rollbacks = rollbacks
        self.save(step, observer, folder)  # so that a run that is killed now doesn't forget it
        observer.say(f"{why}: back to step {step} with learning rates times {0.5**rollbacks:g}")
        return step

    def save(self, step: int, observer: Observer, folder: Path | None) -> None:
        """Write a checkpoint, unless steps are being skipped: a run never returns to a sick state."""
        if folder is None or not self.engine.processes.main or self.in_a_row:
            return
        state = {
            "step": step,
            "images": step * self.recipe.batch,
            "observer": observer.state(),
            "skipped": float(self.skipped),
            "rollbacks": self.rollbacks,
            "sound": self.sound,
        }
        keep = {observer.best_step}
        if self.recipe.on_collapse == "rollback":
            keep.add(checkpoint.newest(folder, self.sound))
        checkpoint.save(folder, self.game, self.average, state, keep)

    def restore(self, folder: Path, observer: Observer) -> int:
        """Everything as it was at the newest checkpoint; returns its step."""
        state = checkpoint.restore(folder, self.game, self.average)
        observer.restore(state["observer"], state["step"])
        self.skipped.fill_(state.get("skipped", 0.0))
        self.in_a_row.zero_()
        self.rollbacks, self.sound = state.get("rollbacks", 0), state.get("sound", 0)
        return int(state["step"])

    def stop_if_asked(self, interrupt: Interrupt, step: int, observer: Observer, folder: Path | None) -> None:
        """After Ctrl-C in any process: a checkpoint, and a word on how to go on."""
        processes = self.engine.processes
        if processes.count > 1 and step % ASK_EVERY:
            return
        if processes.any(interrupt.asked):
            self.save(step, observer, folder)
            raise Stopped(f"stopped at step {step}", folder)
