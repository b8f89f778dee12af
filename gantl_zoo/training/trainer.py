"""`Trainer`: trains a GAN and averages its generator."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import call
from gantl_zoo.seeding import order, seed_step
from gantl_zoo.training import ema
from gantl_zoo.training.adaptive import AdaptiveProbability
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.build import build_augment
from gantl_zoo.training.batches import Batches
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.cuda_graphs import parts_for
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.gauges import gauges
from gantl_zoo.training.guard import Guard
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.loop import Loop
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.optimizers import adam
from gantl_zoo.training.pace import Pace
from gantl_zoo.training.real_features import real_features
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.training.regularizers.gradient import ZeroCentred
from gantl_zoo.training.schedule import P, values
from gantl_zoo.training.setup import Setup, check_engine, check_needs
from gantl_zoo.training.step import Game, Player, train_step

PROBED = 8  # samples to check for non-finite values


class Trainer(Learner):
    """Trains the GAN of a `Setup` on `data` with the settings of a recipe and an engine."""

    advice = "try a lower --lr, --precision fp32, or a larger --r1"

    def __init__(self, setup: Setup, data: ImageData, recipe: Recipe, engine: Engine) -> None:
        check_engine(recipe, engine)
        check_needs(recipe, setup.gan.generator)
        self.setup, self.gan, self.plan, self.strategy = setup, setup.gan, setup.plan, setup.strategy
        self.recipe, self.engine, self.pace = recipe, engine, Pace.of(recipe)
        # after the strategy's `prepare`, which may have changed the weights
        self.average: nn.Module = copy.deepcopy(self.gan.generator).eval().requires_grad_(False)
        self.networks = setup.networks
        modules = [*self.networks.values(), *self.plan.modules.values()]
        for network in [*modules, self.average]:
            engine.place(network)
        self.game = game_of(setup, recipe, engine)
        count, shuffle = len(data), {"batch": recipe.batch, "seed": recipe.seed, "steps": recipe.steps}
        self.batches = Batches(data, setup.labels, lambda start: order(count, start=start, **shuffle), engine)
        self.game.known = real_features(self.game.augment, self.batches, recipe, engine)
        players = (self.game.generator, self.game.discriminator)
        self.guard = Guard(players, [*modules, self.game.augment, self.game.regularizer], engine.processes)
        saved = self.networks | {"average": self.average, "augment": self.game.augment}
        saved |= {"regularizer": self.game.regularizer}
        saved |= {f"module.{name}": module for name, module in self.plan.modules.items()}
        self.contents = Contents(saved, players, self.strategy, engine.processes)
        self.parts = parts_for(engine)

    def run(
        self,
        observer: Observer,
        folder: Path | None = None,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """Train from step 0, or from the newest checkpoint in `folder`, to `recipe.steps`.

        Raises `TrainingError` if roll-backs don't remove non-finite values, `Stopped` after an interruption.
        """
        Loop(self, observer, folder, callbacks).run(resume)

    def snapshot(self) -> GAN:
        """The current model with the averaged generator, exported by the strategy."""
        gan = GAN(
            self.average, self.game.discriminator.network, self.gan.parts, self.gan.about, self.gan.name
        )
        return self.strategy.export(gan)

    @torch.enable_grad()
    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Train one step on `pixels` (n, C, H, W), uint8, and labels (n,), then update the average."""
        recipe, processes = self.recipe, self.engine.processes
        self.begin(step)
        moving = self.move(step)
        seed_step(recipe.seed, step)  # the same noise in all processes; each takes its share
        latent_dim: Any = self.gan.generator.latent_dim
        noise = processes.share(torch.randn(recipe.batch, latent_dim, device=self.engine.device))  # (N, Z)
        seed_step(recipe.seed, step, processes.rank + 1)  # other random numbers than those of the noise
        real = to_float(self.engine.upload(pixels)).contiguous(memory_format=self.engine.layout)
        if self.game.known is not None:
            self.game.known.begin(real, self.batches.index_of(pixels))
        p = getattr(self.game.augment, "p", None)  # a buffer, or a number
        settings = self.plan.switches(), None if isinstance(p, Tensor) else p
        with self.parts.step(step, settings, (real, noise, labels)) as (number, inputs):
            losses = self.update(number, *inputs)
        batch, half_life = recipe.batch, moving.get("ema_images", recipe.ema_images)
        ema.update(self.average, self.gan.generator, batch, (step + 1) * batch, half_life)
        return losses

    def update(self, step: Any, real: Tensor, noise: Tensor, labels: Tensor | None) -> dict[str, Tensor]:
        """Update both networks, part by part, and undo what a skipped step has changed."""
        before = self.guard.statistics(self.parts.run)
        losses = train_step(self.game, real, noise, step, labels, self.parts.run)
        self.guard.undo_if_skipped(before, self.parts.run)
        return losses

    def restore(self, state: Mapping[str, Any]) -> None:
        self.parts.reset()

    def move(self, step: int) -> dict[str, float]:
        """Set everything that changes from step to step. Returns the values of `Recipe.final`'s settings."""
        recipe, moving = self.recipe, values(self.recipe, step)
        factor = recipe.lr_factor(step) * self.guard.slowdown
        factor *= moving["lr"] / recipe.lr if "lr" in moving else 1.0
        for player in self.contents.players:
            player.set_rates(factor, beta2=moving.get("beta2"))
        for part in self.game.regularizer.parts.values():
            if "r1" in moving and isinstance(part, ZeroCentred):
                part.move(moving["r1"] / recipe.r1, self.engine.device)
        if P in moving:
            set_probability(self.game.augment, moving[P])
        return moving

    def health(self) -> dict[str, float]:
        parts = {f"{name}_p": part for name, part in self.game.regularizer.parts.items()}
        adapting = {"p": self.game.augment, **parts}
        shown = {
            name: float(part.p) for name, part in adapting.items() if isinstance(part, AdaptiveProbability)
        }
        return super().health() | shown | gauges(self.game.generator) | gauges(self.game.discriminator)

    @torch.no_grad()
    def non_finite(self) -> str:
        """Also check samples: huge but finite weights can make non-finite ones."""
        latent_dim: Any = self.gan.generator.latent_dim
        noise = torch.randn(PROBED, latent_dim, generator=torch.Generator().manual_seed(0))
        labels = torch.zeros(PROBED, dtype=torch.long, device=self.engine.device)
        finite = call(self.average, noise.to(self.engine.device), labels).isfinite().all()
        return super().non_finite() or ("" if finite else "samples are not finite")


def set_probability(augment: Augment, p: float) -> None:
    """Set the probability of an augmentation, which is a buffer or another attribute `p`."""
    owner: Any = augment
    if isinstance(owner.p, Tensor):
        owner.p.fill_(p)
    else:
        owner.p = p


def game_of(setup: Setup, recipe: Recipe, engine: Engine) -> Game:
    """Build the two players with their optimizers, the loss and the augmentation."""
    rates = {"generator": recipe.lr, "discriminator": recipe.discriminator_lr or recipe.lr}
    betas = float(recipe.beta1), float(recipe.beta2)  # torch takes no integers
    generator, discriminator = (
        Player(role, network, setup.plan, adam(setup.plan, role, rates[role], betas, engine), engine)
        for role, network in setup.networks.items()
    )
    return Game(
        generator,
        discriminator,
        build_loss(recipe.loss, recipe.loss_config),
        setup.strategy,
        build_augment(recipe.aug, recipe.aug_config).to(engine.device),
        build_regularizer(recipe.regularizer, recipe.regularizer_config, recipe.r1).to(engine.device),
        engine,
        recipe.accumulate,
    )
