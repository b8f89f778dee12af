"""One training step: update the discriminator, then the generator.

There is no host synchronisation: losses stay on the device until they are logged, and the optimizer skips
steps with non-finite gradients on the device.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import call, num_classes_of
from gantl_zoo.networks.mapping import map_noise, stage_images, synthesize
from gantl_zoo.strategy.base import Batch, Plan, TransferStrategy
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.conditioning import SelfSupervised, with_labels
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.losses import AdversarialLoss
from gantl_zoo.training.parts import Run, at_once
from gantl_zoo.training.real_features import RealFeatures
from gantl_zoo.training.regularizers.base import merged
from gantl_zoo.training.regularizers.combined import Combined

LossTerms = dict[str, Tensor]
Input = TypeVar("Input")


class Player:
    """A network and its optimizer; the network is frozen if the optimizer is None."""

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
        groups = optimizer.param_groups if optimizer else []
        self.parameters = [parameter for group in groups for parameter in group["params"]]
        self.updates = 0  # calls of the optimizer
        self.scaler = torch.amp.GradScaler(engine.device.type, enabled=engine.precision == "fp16")
        self.failed = torch.zeros((), device=engine.device)  # 1 if the last gradient was not finite
        self.gradient = torch.zeros((), device=engine.device)  # norm of the last gradient

    @property
    def learns(self) -> bool:
        """Whether any parameter is trained in this step."""
        return bool(self.optimizer and self.plan.parameters(self.role))

    def set_rates(self, factor: float, beta1: float | None = None, beta2: float | None = None) -> None:
        """Set the learning rates to `factor` times their initial values, and Adam's betas that are given."""
        for group in self.optimizer.param_groups if self.optimizer else []:
            group["lr"] = group["initial_lr"] * factor
            first, second = group["betas"]
            group["betas"] = (first if beta1 is None else beta1, second if beta2 is None else beta2)

    def learn(
        self,
        batches: Iterable[Input],
        share: float,
        terms: Callable[[Input], LossTerms],
        strategy: TransferStrategy,
        run: Run = at_once,
    ) -> LossTerms:
        """Update the active parameters on the sum of `terms`, weighted by `share` for each batch.

        Returns the loss terms, on the device.
        """
        losses, gradients = run(self.role, partial(self.differentiate, batches, share, terms))
        self.update(gradients, strategy)
        return losses

    def differentiate(
        self, batches: Iterable[Input], share: float, terms: Callable[[Input], LossTerms]
    ) -> tuple[LossTerms, list[Tensor | None]]:
        """Compute the loss terms of `learn`, and the gradients of all parameters of the optimizer."""
        assert self.optimizer is not None
        parameters, losses = self.plan.parameters(self.role), LossTerms()
        self.optimizer.zero_grad(set_to_none=True)
        for batch in batches:
            named = terms(batch)
            total = torch.stack(list(named.values())).sum() * share
            self._backward(total, parameters)
            losses |= {name: losses.get(name, 0) + term.detach() * share for name, term in named.items()}
        return losses, [parameter.grad for parameter in self.parameters]

    def update(self, gradients: list[Tensor | None], strategy: TransferStrategy) -> None:
        """Update the parameters with the gradients of `differentiate`."""
        assert self.optimizer is not None
        for parameter, gradient in zip(self.parameters, gradients, strict=True):
            if parameter.grad is not gradient:  # that of another CUDA graph
                parameter.grad = gradient
        active = self.plan.parameters(self.role)
        present = [parameter.grad for parameter in active if parameter.grad is not None]
        self.engine.processes.average(present)
        self.scaler.unscale_(self.optimizer)
        strategy.on_gradients(self.role)
        self._step(self.optimizer, present)
        strategy.after_step(self.role)
        if not self.engine.graphs:  # a CUDA graph writes gradients to the same memory in each replay
            self.optimizer.zero_grad(set_to_none=True)  # makes room for those of the other network

    def _backward(self, total: Tensor, parameters: list[nn.Parameter]) -> None:
        try:
            self.scaler.scale(total).backward(inputs=parameters)  # type: ignore[no-untyped-call]
        except RuntimeError as error:
            if not str(error).startswith("derivative for"):
                raise
            name = type(self.network).__name__
            raise UsageError(
                f"a gradient penalty needs second derivatives, which the {self.role} {name} does not have "
                f"({error}); train without --r1 and other gradient penalties, or use another backbone"
            ) from error

    def _step(self, optimizer: torch.optim.Optimizer, gradients: list[Tensor]) -> None:
        """Call the optimizer, unless a gradient is not finite."""
        if gradients:
            norms = torch.stack(torch._foreach_norm(gradients))
            self.failed.copy_(~norms.sum().isfinite())  # in place, as everything that CUDA graphs read
            self.gradient.copy_(norms.norm())
        self.updates += 1
        if self.scaler.is_enabled():
            self.scaler.step(optimizer)
            self.scaler.update()
        elif self.engine.optimizer == "fused":
            optimizer.found_inf = self.failed  # type: ignore[attr-defined]  # skips on the device
            optimizer.step()
        elif not self.failed:
            optimizer.step()


@dataclass
class Game:
    """The two players (networks with optimizers), the loss, and everything else that a step uses."""

    generator: Player
    discriminator: Player
    loss: AdversarialLoss
    strategy: TransferStrategy
    augment: Augment
    regularizer: Combined
    engine: Engine
    rounds: int = 1  # of gradient accumulation per batch
    known: RealFeatures | None = None  # features of real images without augmentation

    def critic(self, batch: Batch, terms: LossTerms | None = None) -> Critic:
        """The discriminator as losses call it: with labels, augmentation and the strategy's changes.

        The discriminator's own loss terms, if it has any, are added to `terms`.
        """
        network: Any = self.discriminator.network
        labelled = with_labels(network, batch.labels)
        own = {} if terms is None else own_losses(network, batch, terms)
        usual = type(self.strategy).discriminate is TransferStrategy.discriminate
        shared = usual and getattr(network, "freeze", False) and not own

        def look(images: Tensor) -> Tensor:
            if shared and (features := frozen_features(network, batch, images)) is not None:
                labels = [batch.labels] if num_classes_of(network) else []
                logits: Tensor = network.logits(features, *labels)
                return logits
            called = labelled
            if not images.requires_grad:  # those of a penalty do
                called = own.pop(images.data_ptr(), labelled)
            return self.strategy.discriminate(called, self.augment(images), batch.step)

        together = not own and not shared and not any(map(mixes_images, network.modules()))
        return Critic(look, together, self.engine.processes)


def frozen_features(network: Any, batch: Batch, images: Tensor) -> list[Tensor] | None:
    """What a frozen network extracts from images of the batch, if it was computed before; else None."""
    if images.data_ptr() == batch.fake.data_ptr():  # `batch.fake` or a detached view of it
        features = batch.fake_features(network)
        return features if images.requires_grad else [one.detach() for one in features]
    return batch.real_features(network) if images is batch.real else None


def own_losses(network: Any, batch: Batch, terms: LossTerms) -> dict[int, Any]:
    """What to call once instead of the discriminator, by the address of the images.

    These calls add the discriminator's own loss terms to `terms`. Empty if it has no loss of its own.
    """
    if not hasattr(network, "self_supervised"):
        return {}
    images = [batch.real, batch.fake] if getattr(network, "terms_of_fake", False) else [batch.real]
    calls = [SelfSupervised(network, terms, fake=one is batch.fake) for one in images]
    return {one.data_ptr(): with_labels(call, batch.labels) for one, call in zip(images, calls, strict=True)}


def mixes_images(module: nn.Module) -> bool:
    """Whether the result for an image depends on the other images: real and fake ones must be apart."""
    statistics = isinstance(module, nn.modules.batchnorm._BatchNorm) and module.training
    return statistics or getattr(module, "mixes_images", False)


def train_step(
    game: Game,
    real: Tensor,
    noise: Tensor,
    step: int,
    labels: Tensor | None = None,
    run: Run = at_once,
) -> LossTerms:
    """Update the discriminator, then the generator, on `real` (N, C, H, W) and fakes of `noise` (N, Z).

    `labels` (N,) of class-conditional networks apply to real and fake images, so classes are equally frequent
    in both. `run` computes the gradients of each network as a part. Returns the loss terms, on the device.

    With one round both updates use the same fakes, so the generator runs once. With more rounds fakes are
    generated again for the second update, because keeping their graphs would cancel the saving of memory.
    """
    parts = [None] * game.rounds if labels is None else labels.chunk(game.rounds)
    rounds = list(zip(real.chunk(game.rounds), noise.chunk(game.rounds), parts, strict=True))
    shared: list[Batch] = []

    def batches(player: Player) -> Iterator[Batch]:
        if len(rounds) > 1:
            yield from (make_batch(game, *r, step, player is game.generator) for r in rounds)
            return
        if not shared:
            shared.append(make_batch(game, *rounds[0], step, game.generator.learns))
        yield shared[0]

    losses = LossTerms()
    for player, terms in ((game.discriminator, discriminator_terms), (game.generator, generator_terms)):
        player.failed.zero_()  # also for a network that is frozen in this step
        if player.learns:
            share = 1 / len(rounds)
            losses |= player.learn(batches(player), share, partial(terms, game), game.strategy, run)
    return losses


def make_batch(
    game: Game, real: Tensor, noise: Tensor, labels: Tensor | None, step: int, gradients: bool
) -> Batch:
    """Generate one fake image per real image; `gradients` says whether to keep the generator's graph."""
    network: Any = game.generator.network
    with game.engine.autocast(), torch.set_grad_enabled(gradients):
        noise = game.strategy.latents(noise, step)
        stages = [images.float() for images in fakes(game, noise, labels, step)]  # (N, C, h, h) each
    discriminator = with_labels(game.discriminator.network, labels)
    generator, fake = with_labels(network, labels), stages[-1]
    batch = Batch(step, real, noise, fake, generator, discriminator, labels, game.augment, stages)
    batch.known = None if game.known is None else game.known.of
    return batch


def fakes(game: Game, noise: Tensor, labels: Tensor | None, step: int) -> list[Tensor]:
    """Fake images of noise (N, Z): those of the stages (N, C, h, h) that a regularizer needs, and the last.

    A regularizer may replace their intermediate latents.
    """
    network, regularizer = game.generator.network, game.regularizer
    if not regularizer.latent_space and not regularizer.stages:
        return [call(network, noise, labels)]

    def draw() -> Tensor:
        return map_noise(network, game.strategy.latents(torch.randn_like(noise), step), labels)

    latents = regularizer.mapped_latents(map_noise(network, noise, labels), draw)  # (N, Z) -> (N, L, …)
    if regularizer.stages:
        return stage_images(network, latents, labels)
    return [synthesize(network, latents, labels)]


def discriminator_terms(game: Game, batch: Batch) -> LossTerms:
    """The discriminator's loss terms."""
    with game.engine.autocast():
        batch, own = game.regularizer.batch(batch), LossTerms()
        critic = game.critic(batch, own)
        adversarial = game.loss.discriminator(critic, batch.real, batch.fake.detach())
        if critic.real_logits is not None:
            game.augment.adapt(critic.real_logits.detach(), game.engine.processes)
        terms = game.strategy.discriminator_loss(adversarial, batch)
        return merged(terms, own, game.regularizer.discriminator(critic, batch))


def generator_terms(game: Game, batch: Batch) -> LossTerms:
    """The generator's loss terms, with the updated discriminator."""
    with game.engine.autocast():
        critic = game.critic(batch)
        critic.fake, critic.adjust = batch.fake, partial(game.regularizer.generator_logits, step=batch.step)
        adversarial = game.loss.generator(critic, batch.real, batch.fake)
        terms = game.strategy.generator_loss(adversarial, batch)
        return merged(terms, game.regularizer.generator(critic, batch))
