"""The base of `adam`, `lora`, `mine`, `svd`: adapters compute weights from the parameters that are trained.

The networks don't change. After each step the adapter writes the new weight, and before each step the chain
rule turns the weight's gradient into that of the adapter's parameters. So averaging, metrics and saved models
need no adapters, and a penalty on the weights (`l2-sp`, `ewc`) keeps its meaning.

A weight as a matrix (K, J) has a row per output: K outputs, J inputs times kernel positions.
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
    """Computes tensors of a network from its own parameters. Initially they equal the network's tensors."""

    def learning(self) -> list[nn.Parameter]:
        """The parameters that are trained at present."""
        return [parameter for parameter in self.parameters() if parameter.requires_grad]

    def forward(self) -> list[Tensor]:
        """The tensors, each with the shape of the network's parameter."""
        raise NotImplementedError

    @torch.no_grad()
    def write(self, places: list[nn.Parameter]) -> None:
        """Copy the tensors into the network's parameters."""
        for place, tensor in zip(places, self(), strict=True):
            place.copy_(tensor)


class Rows(Adapter):
    """An adapter of one weight, whose output dimension is `dim`."""

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__()
        self.dim, self.shape = dim, weight.shape
        self.base = fixed(self.matrix(weight))  # (K, J)

    def matrix(self, weight: Tensor) -> Tensor:
        """Reshape a weight or its gradient to (K, J)."""
        return weight.detach().movedim(self.dim, 0).flatten(1)

    def weight(self, matrix: Tensor) -> Tensor:
        """Reshape (K, J) to the weight's shape: the inverse of `matrix`."""
        first = self.shape[self.dim]
        others = [size for i, size in enumerate(self.shape) if i != self.dim]
        return matrix.view(first, *others).movedim(0, self.dim)


@dataclass
class Held:
    """Parameters of a network, and the adapter that computes them."""

    name: str
    places: list[nn.Parameter]
    adapter: Any


class AdapterStrategy(TransferStrategy):
    """Trains adapters for the weights of the networks in `roles`, and fully fine-tunes the other network."""

    name = ""
    roles: tuple[str, ...] = ("generator",)
    rate = 1.0  # factor of the learning rate for the adapters' parameters

    def __init__(self) -> None:
        self.held: dict[str, list[Held]] = {}

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        """The adapter of one weight, whose output dimension is `dim`."""
        raise NotImplementedError

    def adapters(self, network: nn.Module) -> list[Held]:
        """One adapter per linear or convolutional layer in the blocks of `network`."""
        return [Held(name, [p], self.adapter(p, dim)) for name, p, dim in weights(network)]

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plan = super().prepare(source, target, data)
        for role in self.roles:
            self.take(plan, role, getattr(target, role))
        return plan

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        """Train adapters for the body; fully fine-tune the last block, since its classes are new."""
        plan = super().prepare_backbone(backbone)
        head = list(backbone.blocks[-1].parameters())  # type: ignore[index,union-attr]
        self.take(plan, "backbone", backbone, head)
        return plan

    def take(
        self, plan: Plan, role: str, network: nn.Module, besides: list[nn.Parameter] | None = None
    ) -> None:
        """Train adapters for `network` in place of all its parameters except `besides`.

        Raises `UsageError` if the network has no layer to adapt.
        """
        free = {id(parameter) for parameter in besides or []}
        self.held[role] = [h for h in self.adapters(network) if not free & {id(p) for p in h.places}]
        if not self.held[role]:
            raise UsageError(
                f"{self.name}: the {role} {type(network).__name__} has no trainable linear or convolutional "
                "layer"
            )
        plan.groups[role] = self.groups(role)
        plan.groups[role] += [Group(besides)] if besides else []
        plan.modules[f"{self.name}-{role}"] = nn.ModuleList(h.adapter for h in self.held[role])

    def groups(self, role: str) -> list[Group]:
        """The adapters' parameters, and, at rate 0, the weights, of which only the gradient is needed."""
        own = [p for held in self.held[role] for p in held.adapter.learning()]
        return [Group(own, self.rate), Group([p for held in self.held[role] for p in held.places], 0.0)]

    def on_step(self, step: int, plan: Plan) -> None:
        """Raise `UsageError` in the first two steps if another strategy writes the adapters' weights."""
        for held in (h for role in self.held.values() for h in role) if step < 2 else ():
            tensors = held.adapter()
            if not all(torch.allclose(p, t, 1e-4, 1e-6) for p, t in zip(held.places, tensors, strict=True)):
                raise UsageError(
                    f"{self.name}: another part of the strategy also writes {held.name}: combine at most one "
                    "of adam, lora, mine and svd, and put mirror before it"
                )

    @torch.no_grad()
    def on_gradients(self, phase: str) -> None:
        """Replace the gradient of each weight by those of the adapter's parameters."""
        held_here = self.held.get(phase, [])
        for held in held_here:
            slopes = [place.grad for place in held.places]
            if any(slope is None for slope in slopes):  # frozen or inactive in another strategy's plan
                continue
            parameters = held.adapter.learning()
            with torch.enable_grad():
                gradients = torch.autograd.grad(held.adapter(), parameters, slopes, allow_unused=True)
            for parameter, slope in zip(parameters, gradients, strict=True):
                parameter.grad = slope
            for place in held.places:
                place.grad = None  # so that the optimizer skips it

    def after_step(self, phase: str) -> None:
        for held in self.held.get(phase, []):
            if any(place.requires_grad for place in held.places):
                held.adapter.write(held.places)


def fixed(tensor: Tensor) -> nn.Parameter:
    """A copy that is not trained."""
    return nn.Parameter(tensor.detach().clone(), requires_grad=False)


def weights(network: nn.Module) -> Iterator[tuple[str, nn.Parameter, int]]:
    """Yield name, weight and output dimension of each linear and convolutional layer in the blocks.

    For a layer with spectral norm, the weight before the norm. Shared weights are yielded once.
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


def check(name: str, message: str, valid: bool) -> None:
    """Raise `UsageError` with the message unless a setting is valid."""
    if not valid:
        raise UsageError(f"{name}: {message}")


def players(name: str, network: str) -> tuple[str, ...]:
    """The networks that the setting `network` selects. Raises `UsageError`."""
    choices = {"both": ("generator", "discriminator")} | {n: (n,) for n in ("generator", "discriminator")}
    check(name, f"network={network!r} must be one of {', '.join(choices)}", network in choices)
    return choices[network]
