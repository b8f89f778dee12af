"""What `adam`, `lora`, `mine` and `svd` share: weights that are made from other numbers, which learn instead.

The networks stay plain. After each step a weight is written anew from its adapter, and the weight's gradient
goes on to the adapter's numbers by the chain rule. So the average, metrics and the exported model never see
an adapter, and a penalty on the weights (`l2-sp`, `ewc`) means what it always means.

A weight's matrix has a row for each output: K outputs, J inputs times places of the kernel.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import GAN, Group, Plan, TransferStrategy, UsageError

CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)  # weights (inputs, outputs, …)


class Adapter(nn.Module):
    """Makes some of a network's tensors from its own parameters. It starts as what is there."""

    def learning(self) -> list[nn.Parameter]:
        """Which of its parameters learn now."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self) -> list[Tensor]:
        """The tensors, each in the shape of its place in the network."""
        raise NotImplementedError

    @torch.no_grad()
    def write(self, places: list[nn.Parameter]) -> None:
        """Put the tensors into their places."""
        for place, tensor in zip(places, self(), strict=True):
            place.copy_(tensor)


class Rows(Adapter):
    """An adapter of one weight, whose outputs are along `dim`."""

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, weight.shape
        self.base = fixed(self.matrix(weight))  # (K, J)

    def matrix(self, weight: Tensor) -> Tensor:
        """A weight, or its gradient, as (K, J)."""
        return weight.detach().movedim(self.dim, 0).flatten(1)

    def weight(self, matrix: Tensor) -> Tensor:
        """The opposite of `matrix`."""
        first = self.shape[self.dim]
        others = [size for i, size in enumerate(self.shape) if i != self.dim]
        return matrix.view(first, *others).movedim(0, self.dim)


@dataclass
class Held:
    """Parameters of a network, and the adapter that makes them."""

    name: str
    places: list[nn.Parameter]
    adapter: Any


class AdapterStrategy(TransferStrategy):
    """The weights of the networks in `roles` are made by adapters; the other networks learn in full."""

    name = ""
    roles: tuple[str, ...] = ("generator",)
    rate = 1.0  # of the adapters' numbers, times the learning rate

    def __init__(self) -> None:
        self.held: dict[str, list[Held]] = {}

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        """The adapter of one weight, whose outputs are along `dim`."""
        raise NotImplementedError

    def adapters(self, network: nn.Module) -> list[Held]:
        """An adapter for each linear or convolutional layer in the blocks of `network`."""
        return [Held(name, [p], self.adapter(p, dim)) for name, p, dim in weights(network)]

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        for role in self.roles:
            self.take(plan, role, getattr(target, role))
        return plan

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        """The body is adapted; the last block learns in full, since its classes are new."""
        plan = super().prepare_backbone(backbone)
        head = list(backbone.blocks[-1].parameters())  # type: ignore[index,union-attr]
        self.take(plan, "backbone", backbone, head)
        return plan

    def take(
        self, plan: Plan, role: str, network: nn.Module, besides: list[nn.Parameter] | None = None
    ) -> None:
        """Adapt `network`, in whose plan the adapters replace everything but the parameters `besides`."""
        free = {id(parameter) for parameter in besides or []}
        self.held[role] = [h for h in self.adapters(network) if not free & {id(p) for p in h.places}]
        if not self.held[role]:
            raise UsageError(
                f"{self.name}: the {role} {type(network).__name__} has no linear or convolutional layer that "
                "may learn"
            )
        plan.groups[role] = self.groups(role)
        plan.groups[role] += [Group(besides)] if besides else []
        plan.modules[f"{self.name}-{role}"] = nn.ModuleList(h.adapter for h in self.held[role])

    def groups(self, role: str) -> list[Group]:
        """The adapters' numbers, and, at a rate of 0, the weights: only their gradient is wanted."""
        own = [p for held in self.held[role] for p in held.adapter.learning()]
        return [Group(own, self.rate), Group([p for held in self.held[role] for p in held.places], 0.0)]

    def on_step(self, step: int, plan: Plan) -> None:
        """Look, in the first two steps, whether the weights are left to their adapters."""
        for held in (h for role in self.held.values() for h in role) if step < 2 else ():
            made = held.adapter()
            if not all(torch.allclose(p, t, 1e-4, 1e-6) for p, t in zip(held.places, made, strict=True)):
                raise UsageError(
                    f"{self.name}: another part of the strategy writes into {held.name}, which {self.name} "
                    "makes itself: combine only one of adam, lora, mine and svd, and put mirror before it"
                )

    @torch.no_grad()
    def on_gradients(self, phase: str) -> None:
        """The gradient of each weight becomes that of the numbers it is made from."""
        held_here = self.held.get(phase, [])
        for held in held_here:
            slopes = [place.grad for place in held.places]
            if any(slope is None for slope in slopes):  # rests or waits, by another part's plan
                continue
            wanted = held.adapter.learning()
            with torch.enable_grad():
                found = torch.autograd.grad(held.adapter(), wanted, slopes, allow_unused=True)
            for parameter, slope in zip(wanted, found, strict=True):
                parameter.grad = slope
            for place in held.places:
                place.grad = None  # so the optimizer leaves it

    def after_step(self, phase: str) -> None:
        for held in self.held.get(phase, []):
            if any(place.requires_grad for place in held.places):
                held.adapter.write(held.places)


def fixed(tensor: Tensor) -> nn.Parameter:
    """A copy that doesn't learn."""
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


def weights(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Name, weight and output dimension of each linear and convolutional layer in the blocks, once each.

    Of a normalised layer (spectral norm) the weight before the norm.
    """
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    seen: set[int] = set()
    for block in network.blocks:  # type: ignore[union-attr]  # every registered network declares them
        for layer in block.modules():
            if not isinstance(layer, (nn.Linear, *CONVOLUTIONS, *TRANSPOSED)):
                continue
            normed = getattr(layer, "parametrizations", None)
            weight: Any = layer.weight if normed is None or "weight" not in normed else normed.weight.original
            if id(weight) in names and id(weight) not in seen:
                seen.add(id(weight))
                yield names[id(weight)], weight, 1 if isinstance(layer, TRANSPOSED) else 0


def check(name: str, said: str, holds: bool) -> None:
    """Raise a `UsageError` unless a setting holds what was said of it."""
    if not holds:
        raise UsageError(f"{name}: {said}")


def players(name: str, network: str) -> tuple[str, ...]:
    """The roles that the setting `network` names."""
    choices = {"both": ("generator", "discriminator")} | {n: (n,) for n in ("generator", "discriminator")}
    check(name, f"network={network!r} is none of {', '.join(choices)}", network in choices)
    return choices[network]
