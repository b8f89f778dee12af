"""`freeze-d+l2-sp`: several strategies at once, and the one door through which strategies are built."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, suggestion
from gantl_zoo.model.gan import GAN
from gantl_zoo.strategy.base import Batch, Group, Plan, TransferStrategy, unique


def build_strategy(name: str, config: Mapping[str, Any]) -> TransferStrategy:
    """A registered strategy, or several joined by "+".

    A setting goes to the one part that takes it, or to the part that it names: `freeze-d.first=2`. Raises
    `UsageError`, `UnknownNameError`.
    """
    names = name.split("+")
    if len(names) == 1:
        return strategy_of(name, config)
    if len(set(names)) < len(names):
        raise UsageError(f"strategy {name!r} names a part twice")
    shares: dict[str, dict[str, Any]] = {part: {} for part in names}
    for key, value in config.items():
        owner, dot, setting = key.rpartition(".")
        takers = [part for part in names if setting in registry.strategies.configure(part)]
        if dot and owner not in names:
            near = suggestion(owner, names, "its parts are")
            raise UsageError(f"strategy {name!r} has no part {owner!r}, which {key}={value} names{near}")
        if not dot and len(takers) > 1:
            said = f"{' and '.join(takers)} take it; write {takers[0]}.{key}=…"
            raise UsageError(f"strategy {name!r}: argument {key!r}: {said}")
        if not dot and not takers:
            known = [one for part in names for one in registry.strategies.configure(part)]
            near = suggestion(key, known, "they take")
            raise UsageError(f"strategy {name!r}: argument {key!r}: no part takes it{near}")
        shares[owner if dot else takers[0]][setting] = value
    return Combined({part: strategy_of(part, shares[part]) for part in names})


def strategy_of(name: str, config: Mapping[str, Any]) -> TransferStrategy:
    """One registered strategy."""
    found: TransferStrategy = registry.strategies.build(name, **config)
    return found


def rehearse(strategy: TransferStrategy, gan: GAN, images: Any) -> None:
    """Prepare on copies, so that what speaks against it is raised early. Draws no numbers of the caller's."""
    with torch.random.fork_rng(devices=[]):
        strategy.prepare(copy.deepcopy(gan), copy.deepcopy(gan), images)


class Combined(TransferStrategy):
    """A parameter learns if it learns in every part, at the product of their rates; loss terms add up."""

    def __init__(self, parts: Mapping[str, TransferStrategy]) -> None:
        self.parts = dict(parts)
        self.plans: list[Plan] = []
        self.meetings: list[tuple[Group, tuple[Group, ...]]] = []
        looking = [n for n, p in parts.items() if type(p).discriminate is not TransferStrategy.discriminate]
        if len(looking) > 1:
            raise UsageError(
                f"{' and '.join(looking)} don't combine: each sees the discriminator its own way"
            )
        self.looking = self.parts[looking[0]] if looking else TransferStrategy()

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        plans: list[Plan] = []
        for name, part in self.parts.items():
            plan = part.prepare(source, target, data)
            if plan.discriminator is not None:
                self.check_first(name, plans)
                target = replace(target, discriminator=plan.discriminator)  # what the other parts see
            plans.append(plan)
        return self.merge(plans)

    def check_first(self, name: str, before: list[Plan]) -> None:
        """Whoever brings a discriminator comes first, so that the others prepare for that one."""
        if any(plan.discriminator is not None for plan in before):
            raise UsageError(
                f"{next(iter(self.parts))} and {name} don't combine: each brings a discriminator"
            )
        if before:
            others = "+".join(part for part in self.parts if part != name)
            raise UsageError(f"{name} brings a discriminator of its own, so it comes first: {name}+{others}")

    def prepare_backbone(self, backbone: nn.Module) -> Plan:
        return self.merge([part.prepare_backbone(backbone) for part in self.parts.values()])

    def merge(self, plans: list[Plan]) -> Plan:
        """One plan of all. Raises `UsageError` if nothing is left to learn."""
        self.plans, self.meetings = plans, []
        groups: dict[str, list[Group]] = {}
        for role in dict.fromkeys(role for plan in plans for role in plan.groups):
            if not all(role in plan.groups for plan in plans):
                self.check_absent(role, plans)
                continue
            met = meet(plans, role)
            self.meetings += met
            groups[role] = [group for group, _ in met]
            self.check_moved(role, plans, [group for group, _ in met])
            if not met:
                raise UsageError(f"{'+'.join(self.parts)}: nothing is left that learns in the {role}")
        modules = {
            f"{part}-{name}": module
            for part, plan in zip(self.parts, plans, strict=True)
            for name, module in plan.modules.items()
        }
        return Plan(groups, plans[0].discriminator, modules)

    def check_moved(self, role: str, plans: list[Plan], met: list[Group]) -> None:
        """What a strategy moves itself is moved by that one alone, and if the others let it."""
        owners: dict[int, str] = {}
        may_move = {id(p) for group in met for p in group.parameters}
        for name, plan in zip(self.parts, plans, strict=True):
            moved = [group for group in plan.groups[role] if group.written or group.lr_multiplier == 0]
            mine = {id(p) for group in moved for p in group.parameters}
            if other := next((owners[key] for key in mine if key in owners), ""):
                raise UsageError(
                    f"{other} and {name} don't combine: both move the {role}'s weights themselves"
                )
            if mine and not mine & may_move:
                raise UsageError(
                    f"{name}: the other parts of the strategy let none of the {role}'s weights change that "
                    f"{name} moves; leave out what freezes them"
                )
            owners |= dict.fromkeys(mine, name)

    def check_absent(self, role: str, plans: list[Plan]) -> None:
        """Where one part does without `role`, no other may have brought something that learns there."""
        named = list(zip(self.parts, plans, strict=True))
        without = next(name for name, plan in named if role not in plan.groups)
        for name, plan in named:
            own = {id(p) for module in plan.modules.values() for p in module.parameters()}
            listed = {id(p) for group in plan.groups.get(role, []) for p in group.parameters}
            if own & listed or (role == "discriminator" and plan.discriminator is not None):
                raise UsageError(
                    f"{name} and {without} don't combine: {without} trains without a {role}, and {name} "
                    "brings one that would never learn"
                )

    def on_step(self, step: int, plan: Plan) -> None:
        for part, own in zip(self.parts.values(), self.plans, strict=True):
            part.on_step(step, own)
        for group, sources in self.meetings:
            group.active, group.lr_multiplier = state(sources)

    def latents(self, noise: Tensor, step: int) -> Tensor:
        for part in self.parts.values():
            noise = part.latents(noise, step)
        return noise

    def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
        return self.looking.discriminate(discriminator, images, step)

    def generator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.terms("generator", adversarial, lambda part, loss: part.generator_loss(loss, batch))

    def discriminator_loss(self, adversarial: Tensor, batch: Batch) -> dict[str, Tensor]:
        return self.terms(
            "discriminator", adversarial, lambda part, loss: part.discriminator_loss(loss, batch)
        )

    def backbone_loss(self, loss: Tensor, backbone: nn.Module) -> dict[str, Tensor]:
        return self.terms("backbone", loss, lambda part, loss: part.backbone_loss(loss, backbone))

    def terms(
        self, role: str, loss: Tensor, ask: Callable[[TransferStrategy, Tensor], dict[str, Tensor]]
    ) -> dict[str, Tensor]:
        """Each part changes the first term, or drops it, and adds its own."""
        extra: dict[str, Tensor] = {}
        dropped = False
        for part in self.parts.values():
            found = ask(part, loss)
            dropped |= role not in found
            loss = found.pop(role, loss)
            extra |= found
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


def meet(plans: Sequence[Plan], role: str) -> list[tuple[Group, tuple[Group, ...]]]:
    """Groups of those parameters that all plans list, each with the groups that it comes from. What a plan's
    own modules hold does not count.
    """
    owners = [{id(p): group for group in plan.groups[role] for p in group.parameters} for plan in plans]
    own = {id(p): i for i, plan in enumerate(plans) for m in plan.modules.values() for p in m.parameters()}
    listed = unique(p for plan in plans for group in plan.groups[role] for p in group.parameters)
    found: dict[tuple[int, ...], tuple[Group, tuple[Group, ...]]] = {}
    for parameter in listed:
        asked = [owners[own[id(parameter)]]] if id(parameter) in own else owners
        if all(id(parameter) in owner for owner in asked):
            sources = tuple(owner[id(parameter)] for owner in asked)
            key = tuple(map(id, sources))
            if key not in found:
                active, rate = state(sources)
                found[key] = (Group([], rate, active), sources)
            found[key][0].parameters.append(parameter)
    return list(found.values())


def state(sources: Sequence[Group]) -> tuple[bool, float]:
    """Whether all of them are active, and the product of their rates."""
    return all(s.active for s in sources), math.prod(s.lr_multiplier for s in sources)
