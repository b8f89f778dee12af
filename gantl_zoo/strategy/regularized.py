"""`l2-sp` and `ewc`: penalise the distance of the weights from their initial values."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN, is_fresh
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks.base import blocks, call, evaluating
from gantl_zoo.strategy.base import Batch, Plan, TransferStrategy, roles_of


class Anchor(nn.Module):
    """Half the squared distance of parameters from their initial values, weighted by `strengths`.

    It is a module without trainable parameters, so that it is moved to the device and saved with the run.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], strengths: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.live = list(parameters)  # a plain list, because they belong to the network
        self.places, self.strengths = fixed(parameters), fixed(strengths)

    @torch.no_grad()
    def begin(self, step: int) -> None:
        """Store the initial values at step 0: other parts of the strategy may have changed the weights."""
        for now, then in zip(self.live, self.places, strict=True) if step == 0 else ():
            then.copy_(now)

    def forward(self) -> Tensor:
        """The penalty, a scalar. Frozen parameters don't count."""
        total = torch.zeros((), device=self.places[0].device)
        for i, (now, then) in enumerate(zip(self.live, self.places, strict=True)):
            if now.requires_grad:
                gap = (now - then).square()
                total = total + (gap * self.strengths[i] if len(self.strengths) else gap).sum()
        return total / 2


def fixed(tensors: Sequence[Tensor]) -> nn.ParameterList:
    """Copies of tensors as parameters that are not trained."""
    return nn.ParameterList(nn.Parameter(t.detach().clone(), requires_grad=False) for t in tensors)


class L2SP(TransferStrategy):
    """Penalise the squared distance of the weights from their start (L2-SP, Li et al. 2018).

    A classifier's last block has no penalty, because its classes are new.
    Paper: https://arxiv.org/abs/1802.01483, equation 2.

    `weight`: factor of the penalty, half the squared distance of all weights; positive.
    `network`: network with the penalty: "both", "generator" or "discriminator". A classifier always has it.
    """

    def __init__(self, *, weight: float = 0.01, network: str = "both") -> None:
        self.weight, self.roles = positive("l2-sp", weight), roles_of("l2-sp", network)
        self.anchors: dict[str, Anchor] = {}

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        networks = {"generator": target.generator, "discriminator": target.discriminator}
        self.anchors = {
            role: Anchor(list(n.parameters())) for role, n in networks.items() if role in self.roles
        }
        plan.modules |= {f"l2-sp-{role}": anchor for role, anchor in self.anchors.items()}
        return plan

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        plan = super().prepare_backbone(backbone)
        self.anchors = {"backbone": Anchor(body(backbone))}
        plan.modules |= {"l2-sp-backbone": self.anchors["backbone"]}
        return plan

    def on_step(self, step: int, plan: Plan) -> None:
        for anchor in self.anchors.values():
            anchor.begin(step)

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"generator": adversarial} | self.pull("generator")

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"discriminator": adversarial} | self.pull("discriminator")

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        return {"backbone": loss} | self.pull("backbone")

    def pull(self, role: str) -> dict[str, Tensor]:
        """The named penalty of a network; empty if it has none."""
        return {f"l2-sp {role}": self.weight * self.anchors[role]()} if role in self.anchors else {}


def body(backbone: nn.Module) -> list[nn.Parameter]:
    """The parameters of all blocks but the last."""
    return [p for block in blocks(backbone)[:-1] for p in block.parameters()]


class EWC(TransferStrategy):
    """Elastic weight consolidation of the generator (EWC, Li et al. 2020).

    A penalty as in `l2-sp`, but stronger for the weights that matter most to the source: each squared
    distance is multiplied by the weight's Fisher information, divided by the mean of all.
    Paper: https://arxiv.org/abs/2012.02780, section 4.

    `weight`: factor of the penalty, half the weighted squared distance of all weights; positive.
    `samples`: number of generated images from which the Fisher information is estimated; at least 1.
    """

    gans_only = "ewc is for GANs; use l2-sp for a classifier"

    def __init__(self, *, weight: float = 0.01, samples: int = 64) -> None:
        self.weight, self.samples = positive("ewc", weight), samples
        if samples < 1:
            raise UsageError(f"ewc: samples must be at least 1, not {samples}")

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        self.anchor = Anchor(list(target.generator.parameters()), fisher(source, self.samples))
        plan.modules["ewc"] = self.anchor
        return plan

    def on_step(self, step: int, plan: Plan) -> None:
        self.anchor.begin(step)

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return {"generator": adversarial, "ewc": self.weight * self.anchor()}


@torch.enable_grad()
def fisher(source: GAN, samples: int) -> list[Tensor]:
    """Mean squared gradients of -log σ(D(G(z))) for the generator's parameters, scaled to a mean of 1."""
    if source.discriminator is None or is_fresh(source):
        lacks = "discriminator" if source.discriminator is None else "trained discriminator"
        raise UsageError(f"ewc: {source.name} has no {lacks}, which the Fisher information needs")
    generator = copy.deepcopy(source.generator).eval().requires_grad_(True)
    discriminator = evaluating(source.discriminator)
    parameters = list(generator.parameters())
    squares = [torch.zeros_like(p) for p in parameters]
    device = parameters[0].device
    labels = drawn_classes(range(samples), source.num_classes or 1).to(device)
    for noise, label in zip(latents(range(samples), source.latent_dim).to(device), labels, strict=True):
        fake = call(generator, noise[None], label[None])  # (1, C, H, W)
        loss = functional.softplus(-call(discriminator, fake, label[None])).sum()
        # zero for parameters that only training mode uses, such as the strength of noise
        gradients = torch.autograd.grad(loss, parameters, materialize_grads=True)
        for square, gradient in zip(squares, gradients, strict=True):
            square += gradient.square()
    mean = sum(float(square.sum()) for square in squares) / sum(square.numel() for square in squares)
    if not 0 < mean < float("inf"):
        raise UsageError(
            f"ewc: {source.name}'s discriminator has no usable gradient, which the Fisher information needs"
        )
    return [square / mean for square in squares]


def positive(name: str, weight: float) -> float:
    """Return `weight`. Raises `UsageError` unless it is positive."""
    if not weight > 0:
        raise UsageError(f"{name}: weight must be positive, not {weight}; for no penalty use full")
    return weight
