"""`build_strategy`: build one strategy, or a combination such as `freeze-d+l2-sp`."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import PluginError, UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.contract import owned
from gantl_zoo.registry.joined import parts_of
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy, unique


def build_strategy(name: str, config: Mapping[str, Any]) -> TransferStrategy:
    """Build a registered strategy, or several joined by "+".

    An argument goes to the one part that takes it, or to the part in its name: `freeze-d.first=2`. Raises
    `UsageError` or `UnknownNameError`.
    """
    parts = {
        part: strategy_of(part, own) for part, own in parts_of(registry.strategies, name, config).items()
    }
    return Combined(parts) if len(parts) > 1 else parts[name]


def strategy_of(name: str, config: Mapping[str, Any]) -> TransferStrategy:
    """Build one registered strategy. Raises `PluginError` if it is not a `TransferStrategy`."""
    strategy = registry.strategies.build(name, **config)
    if not isinstance(strategy, TransferStrategy):
        what = f"{owned('strategies', name)} is a {type(strategy).__name__}, not a gz.TransferStrategy"
        raise PluginError(f"{what}; derive its class from that one")
    return strategy


def rehearse(strategy: TransferStrategy, gan: GAN, images: Any) -> None:
    """Prepare the strategy on copies to raise its errors early. Keeps the caller's random state."""
    with torch.random.fork_rng(devices=[]):
        strategy.prepare(copy.deepcopy(gan), copy.deepcopy(gan), images)


class Combined(TransferStrategy):
    """Several strategies at once.

    A parameter is trained if every part trains it. Its learning-rate multipliers are multiplied; loss terms
    are added.
    """

    def __init__(self, parts: Mapping[str, TransferStrategy]) -> None:
        self.parts = dict(parts)
        self.plans: list[Plan] = []
        self.merged: list[tuple[Group, tuple[Group, ...]]] = []
        own = [n for n, p in parts.items() if type(p).discriminate is not TransferStrategy.discriminate]
        if len(own) > 1:
            raise UsageError(f"{' and '.join(own)} can't be combined: each overrides `discriminate`")
        self.discriminating = self.parts[own[0]] if own else TransferStrategy()

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plans: list[Plan] = []
        for name, part in self.parts.items():
            plan = part.prepare(source, target, data)
            if plan.discriminator is not None:
                self.check_first(name, plans)
                target = replace(target, discriminator=plan.discriminator)  # for the other parts
            plans.append(plan)
        return self.merge(plans)

    def check_first(self, name: str, before: list[Plan]) -> None:
        """Check that only the first part replaces the discriminator: the others need the new one."""
        if any(plan.discriminator is not None for plan in before):
            raise UsageError(
                f"{next(iter(self.parts))} and {name} can't be combined: each brings a discriminator"
            )
        if before:
            others = "+".join(part for part in self.parts if part != name)
            raise UsageError(f"{name} brings its own discriminator, so it must come first: {name}+{others}")

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        return self.merge([part.prepare_backbone(backbone) for part in self.parts.values()])

    def merge(self, plans: list[Plan]) -> Plan:
        """Merge the plans into one. Raises `UsageError` if it has nothing to train."""
        self.plans, self.merged = plans, []
        groups: dict[str, list[Group]] = {}
        for role in dict.fromkeys(role for plan in plans for role in plan.groups):
            if not all(role in plan.groups for plan in plans):
                self.check_absent(role, plans)
                continue
            merged = merge_groups(plans, role)
            self.merged += merged
            groups[role] = [group for group, _ in merged]
            self.check_updates(role, plans, groups[role])
            if not merged:
                raise UsageError(f"{'+'.join(self.parts)}: the parts together freeze the whole {role}")
        modules = {
            f"{part}-{name}": module
            for part, plan in zip(self.parts, plans, strict=True)
            for name, module in plan.modules.items()
        }
        return Plan(groups, plans[0].discriminator, modules)

    def check_updates(self, role: str, plans: list[Plan], groups: list[Group]) -> None:
        """Check parameters that a part updates itself: no other part may update, or freeze, them."""
        owners: dict[int, str] = {}
        trainable = {id(p) for group in groups for p in group.parameters}
        for name, plan in zip(self.parts, plans, strict=True):
            updated = [group for group in plan.groups[role] if group.written or group.lr_multiplier == 0]
            own = {id(p) for group in updated for p in group.parameters}
            if other := next((owners[key] for key in own if key in owners), ""):
                raise UsageError(
                    f"{other} and {name} can't be combined: both update the {role}'s weights without the "
                    "optimizer"
                )
            if own and not own & trainable:
                raise UsageError(
                    f"{name}: the other parts freeze all of the {role}'s weights that {name} updates; leave "
                    "out the part that freezes them"
                )
            owners |= dict.fromkeys(own, name)

    def check_absent(self, role: str, plans: list[Plan]) -> None:
        """Check that no part adds trainable modules to a `role` that another part doesn't train."""
        named = list(zip(self.parts, plans, strict=True))
        without = next(name for name, plan in named if role not in plan.groups)
        for name, plan in named:
            own = {id(p) for module in plan.modules.values() for p in module.parameters()}
            listed = {id(p) for group in plan.groups.get(role, []) for p in group.parameters}
            if own & listed or (role == "discriminator" and plan.discriminator is not None):
                raise UsageError(
                    f"{name} and {without} can't be combined: {without} trains without a {role}, so the one "
                    f"that {name} brings would never be trained"
                )

    def on_step(self, step: int, plan: Plan) -> None:
        for part, own in zip(self.parts.values(), self.plans, strict=True):
            part.on_step(step, own)
        for group, sources in self.merged:
            group.active, group.lr_multiplier = state(sources)

    def latents(self, noise: Tensor, step: int) -> Tensor:
        for part in self.parts.values():
            noise = part.latents(noise, step)
        return noise

    def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
        return self.discriminating.discriminate(discriminator, images, step)

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.terms("generator", adversarial, lambda part, loss: part.generator_loss(loss, batch))

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.terms(
            "discriminator", adversarial, lambda part, loss: part.discriminator_loss(loss, batch)
        )

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        return self.terms("backbone", loss, lambda part, loss: part.backbone_loss(loss, backbone))

    def terms(
        self, role: str, loss: Tensor, call: Callable[[TransferStrategy, Tensor], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Collect the loss terms of all parts. Each may change or drop the first term, and add others."""
        extra: dict[str, Tensor] = {}
        dropped = False
        for part in self.parts.values():
            terms = call(part, loss)
            dropped |= role not in terms
            loss = terms.pop(role, loss)
            extra |= terms
        return extra if dropped else {role: loss} | extra

    def on_gradients(self, phase: str) -> None:
        for part in self.parts.values():
            part.on_gradients(phase)

    def after_step(self, phase: str) -> None:
        for part in self.parts.values():
            part.after_step(phase)

    def export(self, gan: GAN) -> GAN:
        for part in self.parts.values():
            gan = part.export(gan)
        return gan

    def state_dict(self) -> dict[str, Tensor]:
        return {f"{n}/{key}": t for n, part in self.parts.items() for key, t in part.state_dict().items()}

    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        for name, part in self.parts.items():
            start = f"{name}/"
            part.load_state_dict({k.removeprefix(start): t for k, t in state.items() if k.startswith(start)})


def merge_groups(plans: Sequence[Plan], role: str) -> list[tuple[Group, tuple[Group, ...]]]:
    """Groups of the parameters that all plans list, each with the plans' groups that it comes from.

    Parameters in a plan's own `modules` need to be listed by that plan only.
    """
    owners = [{id(p): group for group in plan.groups[role] for p in group.parameters} for plan in plans]
    own = {id(p): i for i, plan in enumerate(plans) for m in plan.modules.values() for p in m.parameters()}
    listed = unique(p for plan in plans for group in plan.groups[role] for p in group.parameters)
    merged: dict[tuple[int, ...], tuple[Group, tuple[Group, ...]]] = {}
    for parameter in listed:
        relevant = [owners[own[id(parameter)]]] if id(parameter) in own else owners
        if all(id(parameter) in owner for owner in relevant):
            sources = tuple(owner[id(parameter)] for owner in relevant)
            key = tuple(map(id, sources))
            if key not in merged:
                active, rate = state(sources)
                merged[key] = (Group([], rate, active), sources)
            merged[key][0].parameters.append(parameter)
    return list(merged.values())


def state(sources: Sequence[Group]) -> tuple[bool, float]:
    """Whether all groups are active, and the product of their learning-rate multipliers."""
    return all(s.active for s in sources), math.prod(s.lr_multiplier for s in sources)
