"""The interface of transfer strategies. The base class itself is full fine-tuning.

A strategy overrides only what it needs; most override only `learns`. Training calls `prepare` once, then in
every step `on_step`, `latents`, `discriminate`, the two losses, `on_gradients` and `after_step`, and `export`
at the end. The plan lists the trainable parameters; only `Plan.apply` sets `requires_grad`.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks


@dataclass
class Group:
    """Parameters that are trained together. An inactive group gets no gradients and no steps.

    With `lr_multiplier=0` the parameters get gradients, but only the strategy updates them. Set `written` if
    the strategy updates them in addition to the optimizer. Two strategies that update the same parameters
    themselves can't be combined.
    """

    parameters: list[nn.Parameter]
    lr_multiplier: float = 1.0
    active: bool = True
    written: bool = False


@dataclass
class Plan:
    """The parameters to train, as groups by role: "generator", "discriminator" or "backbone".

    All other parameters are frozen. Without groups for "discriminator" its phase is skipped.
    `discriminator` replaces the model's own during training. `modules` are extra modules that are trained,
    saved and resumed with the run.
    """

    groups: dict[str, list[Group]]
    discriminator: nn.Module | None = None
    modules: dict[str, nn.Module] = field(default_factory=dict)

    def parameters(self, role: str) -> list[nn.Parameter]:
        """The parameters in the active groups of `role`."""
        return [p for group in self.groups.get(role, []) if group.active for p in group.parameters]

    def switches(self) -> tuple[bool, ...]:
        """Whether each group is active. Call `apply` when this changes."""
        return tuple(group.active for groups in self.groups.values() for group in groups)

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Set `requires_grad` of all parameters, and train or eval mode of all blocks.

        A block without trainable parameters stays in eval mode, so its BatchNorm statistics are frozen, too.
        """
        for role, network in networks.items():
            trainable = {id(parameter) for parameter in self.parameters(role)}
            network.eval()
            for parameter in network.parameters():
                parameter.requires_grad_(id(parameter) in trainable)
            for block in blocks(network):
                block.train(any(id(parameter) in trainable for parameter in block.parameters()))


@dataclass
class Batch:
    """The tensors and networks of one phase of a step.

    Call its networks without labels: class-conditional ones use the labels of the batch.
    """

    step: int
    real: Tensor  # (N, C, H, W) in [-1, 1]
    noise: Tensor  # (N, Z), after the strategy's `latents`
    fake: Tensor  # (N, C, H, W)
    generator: nn.Module
    discriminator: nn.Module
    labels: Tensor | None = None  # (N,) of both real and fake, if the networks are class-conditional
    augment: Callable[[Tensor], Tensor] = field(default_factory=nn.Identity)  # for inputs of discriminators
    stages: Sequence[Tensor] = ()  # images (N, C, h, h) of all stages, if a regularizer needs them
    extracted: dict[int, Any] = field(default_factory=dict, repr=False)  # by the id of the network
    known: Callable[[Any, Tensor], list[Tensor] | None] | None = None  # looks up features of real images

    def fake_features(self, network: Any) -> list[Tensor]:
        """What `network.extract`, which is frozen, returns for the augmented fake images.

        It is computed once: both networks are updated with the same augmented images.
        """
        if id(network) not in self.extracted:
            with torch.set_grad_enabled(self.fake.requires_grad):
                self.extracted[id(network)] = network.extract(self.augment(self.fake))
        features: list[Tensor] = self.extracted[id(network)]
        return features

    def real_features(self, network: Any) -> list[Tensor] | None:
        """What `network.extract`, which is frozen, returns for the real images, if it was computed before."""
        return None if self.known is None else self.known(network, self.real)


class TransferStrategy:
    """Full fine-tuning: train all blocks of both networks."""

    gans_only = ""  # the error message for classifiers, if the strategy is for GANs only

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        """The blocks of `network` to train. `role` is "generator", "discriminator" or "backbone"."""
        return blocks(network)

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        """Prepare `target` for training and return the plan. `source` is an unchanged copy of the model."""
        if target.discriminator is None:
            raise UsageError(f"{source.name} has no discriminator, and adversarial training needs one")
        roles = {"generator": target.generator, "discriminator": target.discriminator}
        return Plan({role: self.group(network, role) for role, network in roles.items()})

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        """Prepare a classifier for training and return the plan."""
        if self.gans_only:
            raise UsageError(self.gans_only)
        return Plan({"backbone": self.group(backbone, "backbone")})

    def group(self, network: nn.Module, role: str) -> list[Group]:
        """Groups of the parameters to train; by default one group, of all parameters in `learns`."""
        return [Group(unique(p for block in self.learns(network, role) for p in block.parameters()))]

    def on_step(self, step: int, plan: Plan) -> None:
        """Called before each step, for schedules. May change `plan.groups[…][i].active`."""

    def latents(self, noise: Tensor, step: int) -> Tensor:
        """Map standard normal `noise` (N, Z) to the latents (N, Z) that training uses.

        Sampling and saved models don't use this, so `export` must fold a learned mapping into the generator.
        """
        return noise

    def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
        """Logits (N, …) of images (N, C, H, W)."""
        logits: Tensor = discriminator(images)
        return logits

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms; the generator minimises their sum."""
        return {"generator": adversarial}

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named loss terms; the discriminator minimises their sum."""
        return {"discriminator": adversarial}

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        """Named loss terms; a classifier minimises their sum."""
        return {"backbone": loss}

    def on_gradients(self, phase: str) -> None:
        """Called between backward and optimizer step of `phase`, for example to mask gradients."""

    def after_step(self, phase: str) -> None:
        """Called after the optimizer step of `phase`, for example to project or prune weights.

        Afterwards `parameter.grad` is None, except with CUDA graphs.
        """

    def export(self, gan: GAN) -> GAN:
        """Fold modules that the strategy added into the registered architecture."""
        return gan

    def state_dict(self) -> dict[str, Tensor]:
        """Tensors that a resumed run needs to continue exactly."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Restore the tensors of `state_dict`."""


def unique(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Remove duplicates, keeping the order: an optimizer would update shared parameters twice."""
    return list({id(parameter): parameter for parameter in parameters}.values())


def check_count(name: str, count: int, network: nn.Module) -> int:
    """Return `count`. Raises `UsageError` if `network` has fewer blocks, or `count` is below 1."""
    total = len(blocks(network))
    if not 0 < count <= total:
        raise UsageError(
            f"{name}: can't train {count} blocks of {type(network).__name__}, which has {total}; choose from "
            f"1 to {total}"
        )
    return count


def roles_of(name: str, network: str) -> tuple[str, ...]:
    """The roles that a strategy's argument `network` selects; always includes "backbone"."""
    choices = {
        "both": ("generator", "discriminator"),
        "generator": ("generator",),
        "discriminator": ("discriminator",),
    }
    if network not in choices:
        raise UsageError(f"{name}: {unknown('network', network, choices)}")
    return (*choices[network], "backbone")
