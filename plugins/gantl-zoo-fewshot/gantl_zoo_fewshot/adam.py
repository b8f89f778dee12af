"""`adam`: fine-tunes unimportant filters, and only modulates important ones.

AdAM (Zhao et al. 2022, "Few-shot Image Generation via Adaptation-Aware Kernel Modulation",
https://arxiv.org/abs/2210.16559, sections 4.1 and 4.2). The name has nothing to do with the optimizer.

A filter has the weights of one output of a layer. K filters with J weights each.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import GAN, Group, Plan
from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Rows, check, players


class Modulated(Rows):
    """W ∘ (1 + u vᵀ) for the `important` filters. While `probing`, W ∘ (1 + p qᵀ) for all filters.

    q and v are initialised randomly, p and u to zero; q is fixed. `importance` accumulates the Fisher
    information of each filter: the squared gradients of a factor in front of each of its weights.
    """

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__(weight, dim)
        rows, columns = self.base.shape
        self.probing = True
        self.probe = nn.Parameter(weight.new_zeros(rows))  # p
        self.direction = nn.Parameter(weight.new_empty(columns).normal_(), False)  # q
        self.left = nn.Parameter(weight.new_zeros(rows))  # u
        self.right = nn.Parameter(weight.new_empty(columns).normal_())  # v
        self.importance: Tensor
        self.important: Tensor
        self.register_buffer("importance", weight.new_zeros(rows))
        self.register_buffer("important", torch.zeros(rows, dtype=torch.bool, device=weight.device))

    def learning(self) -> list[nn.Parameter]:
        return [self.probe] if self.probing else [self.left, self.right]

    def forward(self) -> list[Tensor]:
        rows, columns = (self.probe, self.direction) if self.probing else (self.left, self.right)
        return [self.weight(self.base * (1 + torch.outer(rows, columns)))]

    def note(self, slope: Tensor) -> None:
        """Add the Fisher information of a gradient of the weight to `importance`."""
        self.importance += (self.matrix(slope) * self.base).square().sum(1)

    def choose(self, quantile: float) -> None:
        """Mark the filters above the `quantile` of importance; all if no gradient was noted.

        A filter of zeros, as in a block added for larger images, is not marked: no factor changes it.
        """
        rank = min(int(quantile * len(self.importance)), len(self.importance) - 1)
        least = self.importance.sort().values[rank]
        self.important.copy_((self.importance >= least) & self.base.any(1))

    def unless_important(self, tensor: Tensor, other: Tensor) -> Tensor:
        """`tensor`, with the values of the important filters from `other`; both have the weight's shape."""
        return self.weight(torch.where(self.important[:, None], self.matrix(other), self.matrix(tensor)))

    @torch.no_grad()
    def write(self, places: list[nn.Parameter]) -> None:
        (place,), (modulated,) = places, self()
        place.copy_(modulated if self.probing else self.unless_important(place, modulated))


class AdAM(AdapterStrategy):
    """AdAM: fine-tune unimportant filters, and only modulate important ones (Zhao et al. 2022).

    All filters are modulated at first, to estimate their Fisher information. Then the networks start again
    from the source: filters with little information, norms and biases are fine-tuned, and the other filters
    are frozen except for their modulation. Paper: https://arxiv.org/abs/2210.16559, sections 4.1 and 4.2.

    `probe`: number of steps in which all filters are modulated; at least 1.
    `quantile`: share of the filters of each layer that are fine-tuned, between 0 and 1.
    `network`: network to which the method applies: "both", "generator" or "discriminator". The other one is
        fully fine-tuned.

    Differs from the paper: the probe estimates while it adapts, on the training batches (the paper: 500
    steps, then 250 batches of 4). After it only weights and modulations are reset, not running statistics.
    The modulations start at zero. `quantile` is taken per layer, since the information of two layers may
    differ by orders of magnitude: a quantile over all filters would put whole layers on one side.

    Up to step `probe`, metrics measure the probe's model; a run without further steps returns it.
    """

    gans_only = "adam is for GANs; svd and lora adapt the filters of a classifier"

    name = "adam"

    def __init__(self, *, probe: int = 100, quantile: float = 0.5, network: str = "both") -> None:
        super().__init__()
        check(self.name, f"probe={probe} must be at least 1 step", probe >= 1)
        check(self.name, f"quantile={quantile} must be between 0 and 1", 0 < quantile < 1)
        self.probe, self.quantile = probe, quantile
        self.roles = players(self.name, network)
        self.everything: dict[str, list[nn.Parameter]] = {}

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        return Modulated(weight, dim)

    def group(self, network: nn.Module, role: str) -> list[Group]:
        """The network's groups; `groups` replaces those of the modulated weights."""
        groups = super().group(network, role)
        self.everything[role] = [p for group in groups for p in group.parameters]
        return groups

    def groups(self, role: str) -> list[Group]:
        adapters, places = self.kernels(role), [p for held in self.held[role] for p in held.places]
        modulated = {id(place) for place in places}
        tuned = [p for p in self.everything[role] if id(p) not in modulated]
        probed = Group([adapter.probe for adapter in adapters])
        later = [Group([p for a in adapters for p in (a.left, a.right)], active=False)]
        later += [Group(tuned, active=False)]
        self.probed.append(probed)
        self.later += later
        return [probed, *later, Group(places, written=True)]

    def kernels(self, role: str) -> list[Modulated]:
        """The adapters of a network."""
        return [held.adapter for held in self.held.get(role, [])]

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        self.probed: list[Group] = []
        self.later: list[Group] = []
        return super().prepare(source, target, data)

    def on_step(self, step: int, plan: Plan) -> None:
        adapters = [adapter for role in self.roles for adapter in self.kernels(role)]
        for adapter in adapters:
            adapter.probing = step <= self.probe
        super().on_step(step, plan)
        if step == self.probe:
            for role in self.roles:
                self.decide(role)
        for adapter in adapters:
            adapter.probing = step < self.probe
        for group in self.probed:
            group.active = step < self.probe
        for group in self.later:
            group.active = step >= self.probe

    @torch.no_grad()
    def decide(self, role: str) -> None:
        """Mark the important filters, and restore the weights from before the probe."""
        for held in self.held[role]:
            held.adapter.choose(self.quantile)
            held.adapter.probe.zero_()
            held.adapter.write(held.places)

    @torch.no_grad()
    def on_gradients(self, phase: str) -> None:
        """While probing, note importance; then remove the important filters from the weights' gradients."""
        own: list[tuple[nn.Parameter, Tensor]] = []
        for place, adapter, slope in self.slopes(phase):
            if adapter.probing:
                adapter.note(slope)
            else:
                own.append((place, adapter.unless_important(slope, torch.zeros_like(slope))))
                place.grad = adapter.unless_important(torch.zeros_like(slope), slope)  # for the modulations
        super().on_gradients(phase)
        for place, slope in own:
            place.grad = torch.empty_like(place).copy_(
                slope
            )  # with the memory layout that fused Adam requires

    def slopes(self, phase: str) -> Iterator[tuple[nn.Parameter, Modulated, Tensor]]:
        """Yield each weight that has a gradient, with its adapter and the gradient."""
        for held in self.held.get(phase, []):
            (place,) = held.places
            if place.grad is not None:
                yield place, held.adapter, place.grad
