"""The contract of a transfer strategy. The base class is a method itself: full fine-tuning.

A method overrides only what it needs; most need `learns` alone. The training loop calls, in this order:
`prepare` once; then each step `on_step`, `latents`, `discriminate`, the two losses, `on_gradients` and
`after_step`; `export` at the end. Freezing is data: the plan lists what learns, `Plan.apply` writes it
into the networks, and nothing toggles it back.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor, nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks


@dataclass
class Group:
    """Parameters that learn together. An inactive group waits: no gradient, no step.

    With an `lr_multiplier` of 0 they get a gradient, but the optimizer leaves them: the strategy moves them.
    `written` says that it does so beside the optimizer. Two strategies that move the same don't combine.
    """

    parameters: list[nn.Parameter]
    lr_multiplier: float = 1.0
    active: bool = True
    written: bool = False


@dataclass
class Plan:
    """What learns: groups for "generator", "discriminator" or "backbone". Nothing else moves.

    Without "discriminator" there is no discriminator phase. `discriminator` replaces the model's own
    during training; `modules` are extra modules that are trained, saved and resumed with the run.
    """

    groups: dict[str, list[Group]]
    discriminator: nn.Module | None = None
    modules: dict[str, nn.Module] = field(default_factory=dict)

    def parameters(self, role: str) -> list[nn.Parameter]:
        """The parameters of `role` that learn now."""
        return [p for group in self.groups.get(role, []) if group.active for p in group.parameters]

    def switches(self) -> tuple[bool, ...]:
        """Which groups are active: `apply` is due when this has changed."""
        return tuple(group.active for groups in self.groups.values() for group in groups)

    def apply(self, networks: Mapping[str, nn.Module]) -> None:
        """Write `requires_grad` and train or eval mode into the networks.

        A block without a learning parameter stays in eval mode, so its BatchNorm statistics stay as they are.
        """
        for role, network in networks.items():
            learning = {id(parameter) for parameter in self.parameters(role)}
            network.eval()
            for parameter in network.parameters():
                parameter.requires_grad_(id(parameter) in learning)
            for block in blocks(network):
                block.train(any(id(parameter) in learning for parameter in block.parameters()))


@dataclass
class Batch:
    """What one phase of a step has at hand.

    Class-conditional networks are called here, and in `discriminate`, without labels: they get the batch's.
    """

    step: int
    real: Tensor  # (N, C, H, W) in [-1, 1]
    noise: Tensor  # (N, Z), after the strategy's `latents`
    fake: Tensor  # (N, C, H, W)
    generator: nn.Module
    discriminator: nn.Module
    labels: Tensor | None = None  # (N,) of real and of fake, if the networks are class-conditional
    augment: Callable[[Tensor], Tensor] = field(default_factory=nn.Identity)  # of what discriminators look at


class TransferStrategy:
    """Full fine-tuning: everything that a network declares in its `blocks` learns."""

    gans_only = ""  # why a method fine-tunes no classifiers, in a sentence; most do

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        """The blocks of `network` that learn; `role` is "generator", "discriminator" or "backbone"."""
        return blocks(network)

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        """What learns, and at what rate. `source` is a copy that stays as it is."""
        if target.discriminator is None:
            raise UsageError(f"{source.name} has no discriminator, and adversarial training needs one")
        roles = {"generator": target.generator, "discriminator": target.discriminator}
        return Plan({role: self.group(network, role) for role, network in roles.items()})

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        """The same for a classifier."""
        if self.gans_only:
            raise UsageError(self.gans_only)
        return Plan({"backbone": self.group(backbone, "backbone")})

    def group(self, network: nn.Module, role: str) -> list[Group]:
        """One group of all parameters in the blocks that learn."""
        return [Group(unique(p for block in self.learns(network, role) for p in block.parameters()))]

    def on_step(self, step: int, plan: Plan) -> None:
        """Schedules: unfreeze, warm up, refresh masks. Change `plan.groups[…][i].active` here."""

    def latents(self, noise: Tensor, step: int) -> Tensor:
        """Another latent (N, Z) for standard normal `noise` (N, Z): anchors, a miner. In training alone:
        samples and what is saved don't use it, so `export` has to fold in what shall stay.
        """
        return noise

    def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
        """Logits of images (N, C, H, W); any shape that begins with N."""
        logits: Tensor = discriminator(images)
        return logits

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named terms, whose sum the generator minimises."""
        return {"generator": adversarial}

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        """Named terms, whose sum the discriminator minimises."""
        return {"discriminator": adversarial}

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        """Named terms, whose sum a classifier minimises."""
        return {"backbone": loss}

    def on_gradients(self, phase: str) -> None:
        """Between backward and the optimizer's step of `phase`: masks."""

    def after_step(self, phase: str) -> None:
        """After the optimizer's step of `phase`: projection, pruning."""

    def export(self, gan: GAN) -> GAN:
        """Fold what the strategy added back into the plain registered architecture."""
        return gan

    def state_dict(self) -> dict[str, Tensor]:
        """What a resumed run needs in order to be the same run."""
        return {}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """The opposite of `state_dict`."""


def unique(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter]:
    """Each parameter once, in order; shared ones would otherwise be stepped twice."""
    return list({id(parameter): parameter for parameter in parameters}.values())


def check_count(name: str, count: int, network: nn.Module) -> int:
    """`count` blocks of `network`, or a `UsageError` that says how many there are."""
    there = len(blocks(network))
    if not 0 < count <= there:
        raise UsageError(f"{name}: {count} blocks of {type(network).__name__}, which has {there}")
    return count


def which(name: str, network: str) -> tuple[str, ...]:
    """The roles that the setting `network` names."""
    choices = {
        "both": ("generator", "discriminator"),
        "generator": ("generator",),
        "discriminator": ("discriminator",),
    }
    if network not in choices:
        raise UsageError(f"{name}: {unknown('network', network, choices)}")
    return (*choices[network], "backbone")
