"""`l2-sp` and `ewc`: what learns is held near where it started."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks.base import blocks, call, evaluating
from gantl_zoo.strategy.base import Batch, Plan, TransferStrategy, which


class Anchor(nn.Module):
    """Half the squared distance of parameters from where they began, each by its strength.

    A module without anything to learn, so that it moves to the device and into checkpoints with the run.
    """

    def __init__(self, parameters: Sequence[nn.Parameter], strengths: Sequence[Tensor] = ()) -> None:
        super().__init__()
        self.live = list(parameters)  # a plain list: they are the network's, not this module's
        self.places, self.strengths = fixed(parameters), fixed(strengths)

    @torch.no_grad()
    def begin(self, step: int) -> None:
        """Take the places anew when a run begins: another part of the strategy may have written since."""
        for now, then in zip(self.live, self.places, strict=True) if step == 0 else ():
            then.copy_(now)

    def forward(self) -> Tensor:
        """A scalar. Parameters that don't learn add nothing."""
        total = torch.zeros((), device=self.places[0].device)
        for i, (now, then) in enumerate(zip(self.live, self.places, strict=True)):
            if now.requires_grad:
                gap = (now - then).square()
                total = total + (gap * self.strengths[i] if len(self.strengths) else gap).sum()
        return total / 2


def fixed(tensors: Sequence[Tensor]) -> nn.ParameterList:
    """Copies that don't learn."""
    return nn.ParameterList(nn.Parameter(t.detach().clone(), requires_grad=False) for t in tensors)


class L2SP(TransferStrategy):
    """`weight`/2 · ‖θ - θ₀‖² (Li et al. 2018, https://arxiv.org/abs/1802.01483, equation 2).

    θ₀ is where the `network` ("generator", "discriminator" or "both") starts. A classifier's last block is
    free, since its classes are new.
    """

    def __init__(self, *, weight: float = 0.01, network: str = "both") -> None:
        self.weight, self.roles = positive("l2-sp", weight), which("l2-sp", network)
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
        """The penalty under its name, or nothing for a network that is free."""
        return {f"l2-sp {role}": self.weight * self.anchors[role]()} if role in self.anchors else {}


def body(backbone: nn.Module) -> list[nn.Parameter]:
    """The parameters of all blocks but the last."""
    return [p for block in blocks(backbone)[:-1] for p in block.parameters()]


class EWC(TransferStrategy):
    """Elastic weight consolidation of the generator (Li et al. 2020, https://arxiv.org/abs/2012.02780, § 4).

    `weight`/2 · Σ F (θ - θ₀)², where F is the Fisher information that the source's discriminator gives on
    `samples` generated images. F is divided by its mean, so that a `weight` means the same in every network:
    that of `l2-sp`, spent where the source cares.
    """

    gans_only = "ewc is for GANs; l2-sp holds a classifier near where it started"

    def __init__(self, *, weight: float = 0.01, samples: int = 64) -> None:
        self.weight, self.samples = positive("ewc", weight), samples
        if samples < 1:
            raise UsageError(f"ewc: samples={samples} is no count of images")

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
    """The mean squared gradient of -log σ(D(G(z))) for each generator parameter; 1 on average over all."""
    if source.discriminator is None:
        raise UsageError(f"ewc: {source.name} has no discriminator, and only that tells what matters")
    generator = copy.deepcopy(source.generator).eval().requires_grad_(True)
    discriminator = evaluating(source.discriminator)
    parameters = list(generator.parameters())
    squares = [torch.zeros_like(p) for p in parameters]
    device = parameters[0].device
    labels = drawn_classes(range(samples), source.num_classes or 1).to(device)
    for noise, label in zip(latents(range(samples), source.latent_dim).to(device), labels, strict=True):
        made = call(generator, noise[None], label[None])  # (1, C, H, W)
        loss = functional.softplus(-call(discriminator, made, label[None])).sum()
        for square, slope in zip(squares, torch.autograd.grad(loss, parameters), strict=True):
            square += slope.square()
    mean = sum(float(square.sum()) for square in squares) / sum(square.numel() for square in squares)
    if not 0 < mean < float("inf"):
        raise UsageError(
            f"ewc: {source.name}'s discriminator gives no gradient, so nothing tells what matters"
        )
    return [square / mean for square in squares]


def positive(name: str, weight: float) -> float:
    """The weight, if it is one."""
    if not weight > 0:
        raise UsageError(f"{name}: weight={weight} must be positive; without it {name} is full")
    return weight
