"""One step: update the discriminator, then the generator. Nothing else happens here.

No value leaves the device: losses are read only when they are logged, and the device itself skips a step
whose gradient is not finite.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import call
from gantl_zoo.strategy.base import Batch, Plan, TransferStrategy
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.conditioning import with_labels
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.losses import R1, AdversarialLoss, Critic

LossTerms = dict[str, Tensor]
Input = TypeVar("Input")


class Player:
    """A network and its optimizer; without one the network is frozen."""

    def __init__(
        self,
        role: str,
        network: nn.Module,
        plan: Plan,
        optimizer: torch.optim.Optimizer | None,
        engine: Engine,
    ) -> None:
        self.role, self.network, self.plan, self.engine = role, network, plan, engine
        self.optimizer = optimizer
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.precision == "fp16")
        self.failed = torch.zeros((), device=engine.device)  # 1 where the last gradient was not finite

    @property
    def learns(self) -> bool:
        """Whether any parameter is trained now."""
        return bool(self.optimizer and self.plan.parameters(self.role))

    def set_rates(self, factor: float, beta1: float | None = None) -> None:
        """Set every group's learning rate to `factor` of the one it began with, and Adam's `beta1`."""
        for group in self.optimizer.param_groups if self.optimizer else []:
            group["lr"] = group["initial_lr"] * factor
            if beta1 is not None:
                group["betas"] = (beta1, group["betas"][1])

    def learn(
        self,
        batches: Iterable[Input],
        share: float,
        terms: Callable[[Input], LossTerms],
        strategy: TransferStrategy,
    ) -> LossTerms:
        """Step on the sum of `terms`, each batch counting `share`; only what learns gets a gradient."""
        assert self.optimizer is not None
        parameters, losses = self.plan.parameters(self.role), LossTerms()
        self.optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            found = terms(batch)
            total = torch.stack(list(found.values())).sum() * share
            self._backward(total, parameters)
            losses |= {name: losses.get(name, 0) + term.detach() * share for name, term in found.items()}
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        self.engine.processes.average(gradients)
        self.scaler.unscale_(self.optimizer)
        strategy.on_gradients(self.role)
        self._step(self.optimizer, gradients)
        strategy.after_step(self.role)
        return losses

    def _backward(self, total: Tensor, parameters: list[nn.Parameter]) -> None:
        try:
            self.scaler.scale(total).backward(inputs=parameters)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not str(error).startswith("derivative for"):
                raise
            name = type(self.network).__name__
            raise UsageError(
                f"R1 needs second derivatives, which the {self.role} {name} doesn't have ({error}); "
                "train without --r1, or take another backbone"
            ) from error

    def _step(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor]) -> None:
        """Step unless a gradient is not finite."""
        if gradients:
            size = torch.stack(torch._foreach_norm(gradients)).sum()
            self.failed = (~size.isfinite()).float()
        if self.scaler.is_enabled():
            self.scaler.step(optimizer)
            self.scaler.update()
        elif self.engine.optimizer == "fused":
            optimizer.found_inf = self.failed  # type: ignore[attr-defined]  # the device decides, unasked
            optimizer.step()
        elif not self.failed:
            optimizer.step()


@dataclass
class Game:
    """The two players and the rules."""

    generator: Player
    discriminator: Player
    loss: AdversarialLoss
    strategy: TransferStrategy
    augment: Augment
    r1: R1
    engine: Engine
    rounds: int = 1  # in which a batch is worked off

    def critic(self, step: int, labels: Tensor | None = None) -> Critic:
        """The discriminator behind the augmentation, as the strategy calls it."""
        network = self.discriminator.network
        labelled = with_labels(network, labels)
        statistics = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in network.modules()
        )
        return Critic(lambda x: self.strategy.discriminate(labelled, self.augment(x), step), not statistics)


def train_step(game: Game, real: Tensor, noise: Tensor, step: int, labels: Tensor | None = None) -> LossTerms:
    """Update the discriminator, then the generator, on `real` (N, C, H, W) and fakes of `noise` (N, Z).

    `labels` (N,), for class-conditional networks, are those of both: each class is equally frequent in both.

    Returns each loss term, still on the device. With one round both players see the same fakes, so the
    generator runs once; with more they are made anew for each player, since their graphs are what memory
    is saved on.
    """
    known = [None] * game.rounds if labels is None else labels.chunk(game.rounds)
    rounds = list(zip(real.chunk(game.rounds), noise.chunk(game.rounds), known, strict=True))
    shared = [make_batch(game, *rounds[0], step, game.generator.learns)] if len(rounds) == 1 else None
    losses = LossTerms()
    for player, terms in ((game.discriminator, discriminator_terms), (game.generator, generator_terms)):
        player.failed = torch.zeros_like(player.failed)  # a network frozen from now on has not failed again
        if player.learns:
            batches = shared or (make_batch(game, *r, step, player is game.generator) for r in rounds)
            losses |= player.learn(batches, 1 / len(rounds), partial(terms, game), game.strategy)
    return losses


def make_batch(
    game: Game, real: Tensor, noise: Tensor, labels: Tensor | None, step: int, gradients: bool
) -> Batch:
    """As many fakes as there are reals."""
    network: Any = game.generator.network
    with game.engine.autocast(), torch.set_grad_enabled(gradients):
        noise = game.strategy.latents(noise, step)
        fake = call(network, noise, labels).float()  # (N, C, H, W)
    discriminator = with_labels(game.discriminator.network, labels)
    return Batch(step, real, noise, fake, with_labels(network, labels), discriminator, labels, game.augment)


def discriminator_terms(game: Game, batch: Batch) -> LossTerms:
    """The discriminator's losses."""
    with game.engine.autocast():
        critic = game.critic(batch.step, batch.labels)
        adversarial = game.loss.discriminator(critic, batch.real, batch.fake.detach())
        if critic.real_logits is not None:
            game.augment.adapt(critic.real_logits, game.engine.processes)
        terms = game.strategy.discriminator_loss(adversarial, batch)
        return terms | game.r1(critic, batch.real, batch.step)


def generator_terms(game: Game, batch: Batch) -> LossTerms:
    """The generator's losses against the updated discriminator."""
    with game.engine.autocast():
        critic = game.critic(batch.step, batch.labels)
        adversarial = game.loss.generator(critic, batch.real, batch.fake)
        return game.strategy.generator_loss(adversarial, batch)
