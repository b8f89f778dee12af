"""One step: the discriminator learns, then the generator. Nothing else happens here.

No value leaves the device: losses are read when somebody prints them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.training.augment import Augment
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.losses import R1, AdversarialLoss, Judge
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.transfer.strategy import Batch, Plan, TransferStrategy


class Player:
    """A network and the optimizer that may change it."""

    def __init__(self, role: str, network: nn.Module, plan: Plan, recipe: Recipe) -> None:
        self.role, self.network, self.plan = role, network, plan
        lr = recipe.lr
        if role == "discriminator" and recipe.discriminator_lr is not None:
            lr = recipe.discriminator_lr
        groups = [
            {"params": group.parameters, "initial_lr": lr * group.lr_multiplier}
            for group in plan.groups.get(role, [])
            if group.parameters
        ]
        betas = (recipe.beta1, recipe.beta2)
        self.optimizer = torch.optim.Adam(groups, lr=lr, betas=betas, fused=True) if groups else None

    @property
    def learns(self) -> bool:
        """Whether anything of this player may change now."""
        return bool(self.optimizer and self.plan.parameters(self.role))

    def slow_down(self, factor: float) -> None:
        """Set every group's learning rate to `factor` of the one it began with."""
        for group in self.optimizer.param_groups if self.optimizer else []:
            group["lr"] = group["initial_lr"] * factor

    def minimise(self, terms: dict[str, Tensor], strategy: TransferStrategy) -> None:
        """Step on the sum of `terms`; frozen and rival weights receive no gradient."""
        if self.optimizer is None:
            return
        self.optimizer.zero_grad(set_to_none=True)
        total = torch.stack(list(terms.values())).sum()
        total.backward(inputs=self.plan.parameters(self.role))  # type: ignore[no-untyped-call]
        strategy.on_gradients(self.role)
        self.optimizer.step()
        strategy.after_step(self.role)


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

    def judge(self, step: int) -> Judge:
        """The discriminator behind the augmentation, as the strategy sees it."""
        network = self.discriminator.network
        statistics = any(
            isinstance(m, nn.modules.batchnorm._BatchNorm) and m.training for m in network.modules()
        )
        return Judge(lambda x: self.strategy.discriminate(network, self.augment(x), step), not statistics)


def train_step(game: Game, real: Tensor, step: int) -> dict[str, Tensor]:
    """Update the discriminator, then the generator, on one batch `real` (N, C, H, W).

    Both see the same fakes, so the generator runs once. Returns each loss term, still on the device.
    """
    with game.engine.autocast(), torch.set_grad_enabled(game.generator.learns):
        batch = imagine(game, real, step)
    losses: dict[str, Tensor] = {}
    if game.discriminator.learns:
        losses |= discriminator_phase(game, batch)
    if game.generator.learns:
        losses |= generator_phase(game, batch)
    return {name: term.detach() for name, term in losses.items()}


def imagine(game: Game, real: Tensor, step: int) -> Batch:
    """As many fakes as there are reals."""
    network: Any = game.generator.network
    noise = torch.randn(len(real), network.latent_dim, device=real.device)  # (N, Z)
    noise = game.strategy.latents(noise, step)
    fake = network(noise).float()  # (N, C, H, W)
    return Batch(step, real, noise, fake, network, game.discriminator.network)


def discriminator_phase(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Tell real from fake."""
    with game.engine.autocast():
        judge = game.judge(batch.step)
        adversarial = game.loss.discriminator(judge, batch.real, batch.fake.detach())
        terms = game.strategy.discriminator_loss(adversarial, batch)
        terms = terms | game.r1(judge, batch.real, batch.step)
    game.discriminator.minimise(terms, game.strategy)
    return terms


def generator_phase(game: Game, batch: Batch) -> dict[str, Tensor]:
    """Fool the discriminator, which has just learned."""
    with game.engine.autocast():
        judge = game.judge(batch.step)
        adversarial = game.loss.generator(judge, batch.real, batch.fake)
        terms = game.strategy.generator_loss(adversarial, batch)
    game.generator.minimise(terms, game.strategy)
    return terms
