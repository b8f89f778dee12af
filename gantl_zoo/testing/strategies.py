"""Checks of transfer strategies, on a small DCGAN of grey images."""

from __future__ import annotations

import copy
import math
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import load_gan
from gantl_zoo.networks.base import blocks
from gantl_zoo.registry.builtins import backbones
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import Group, Plan, TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.testing.check import Skip
from gantl_zoo.testing.probes import (
    continued,
    differing,
    images_for,
    small_gan,
    tensors,
    train,
    trainer_of,
)
from gantl_zoo.testing.subject import Subject, begun, check_class
from gantl_zoo.training.trainer import Trainer

STEPS = 4
ROLES = ("generator", "discriminator")


@dataclass
class Strategy(Subject):
    """A registered strategy."""

    def fresh(self) -> TransferStrategy:
        """A new object of the strategy; one object is for one run."""
        return build_strategy(self.name, dict(self.config))

    @cached_property
    def prepared(self) -> dict[str, Any]:
        """The plan for a small GAN, the GAN, its state and flags before, and the unchanged source."""
        target, images = small_gan(), images_for((1, 28, 28))
        source = copy.deepcopy(target)
        flags = {
            id(p): p.requires_grad for network in target.networks().values() for p in network.parameters()
        }
        with seeded(0):
            plan = self.fresh().prepare(source, target, images)
        return {"plan": plan, "target": target, "source": source, "flags": flags}

    def trainer(self) -> Trainer:
        """A trainer of a small GAN with a new object of the strategy."""
        return trainer_of(small_gan(), self.fresh(), steps=STEPS, lr=1e-2, r1=0.1)


SUITE = begun()


@SUITE.check("strategy", "builds")
def is_strategy(subject: Strategy) -> str:
    """A strategy is a `gz.TransferStrategy`."""
    return check_class(subject.built, TransferStrategy, "gz.TransferStrategy")


@SUITE.check("plan", "strategy")
def plan(subject: Strategy) -> str:
    """`prepare` returns a `gz.Plan` with groups of parameters by role."""
    result = subject.prepared["plan"]
    if not isinstance(result, Plan):
        return f"it returns a {type(result).__name__}; return gz.Plan({{'generator': [gz.Group(…)], …}})"
    if wrong := sorted(set(result.groups) - set(ROLES)):
        return f"a role of its groups is {wrong[0]!r}; there are generator and discriminator"
    for role, groups in result.groups.items():
        for group in groups:
            if not isinstance(group, Group):
                return f"a group of {role} is a {type(group).__name__}; use gz.Group([parameters])"
            if not all(isinstance(p, nn.Parameter) for p in group.parameters):
                return f"a group of {role} has other things than parameters; list torch.nn.Parameter objects"
    trained = any(group.parameters for groups in result.groups.values() for group in groups)
    return "" if trained else "it trains nothing; list parameters in a group"


@SUITE.check("own-parameters", "plan")
def own_parameters(subject: Strategy) -> str:
    """The plan lists parameters of the model, or of modules that the plan brings."""
    prepared, target = subject.prepared["plan"], subject.prepared["target"]
    modules = [*target.networks().values(), *prepared.modules.values(), prepared.discriminator]
    known = {id(p) for module in modules if module is not None for p in module.parameters()}
    for role, groups in prepared.groups.items():
        if count := sum(id(p) not in known for group in groups for p in group.parameters):
            return (
                f"{count} parameters of {role} belong to neither; take those of `target`, or add their module"
            )
    return ""


@SUITE.check("source-kept", "plan")
def source_kept(subject: Strategy) -> str:
    """`prepare` does not change `source`."""
    source = subject.prepared["source"]
    for role, network in small_gan().networks().items():
        if lost := differing(network.state_dict(), getattr(source, role).state_dict()):
            return f"{lost[0]} of its {role} has changed; change `target` instead"
    return ""


@SUITE.check("flags-kept", "plan")
def flags_kept(subject: Strategy) -> str:
    """A strategy lists what is trained, and does not switch `requires_grad` itself."""
    flags, target = subject.prepared["flags"], subject.prepared["target"]
    for role, network in target.networks().items():
        for name, parameter in network.named_parameters():
            if flags.get(id(parameter), parameter.requires_grad) != parameter.requires_grad:
                return (
                    f"prepare has switched it for {name} of the {role}; leave the parameter out of the plan"
                )
    return ""


@SUITE.check("steps", "own-parameters")
def steps(subject: Strategy) -> str:
    """Training gives finite losses."""
    losses = train(subject.trainer(), stop=STEPS)
    wrong = [name for name, value in losses.items() if not math.isfinite(value)]
    return f"that of {wrong[0]} is not finite after {STEPS} steps" if wrong else ""


@SUITE.check("moves", "steps")
def moves(subject: Strategy) -> str:
    """Only the parameters that the plan lists change."""
    trainer = subject.trainer()
    listed: set[int] = set()
    before = {role: copy.deepcopy(network.state_dict()) for role, network in trainer.networks.items()}
    for step in range(STEPS):
        train(trainer, step, step + 1)
        listed |= {id(p) for role in trainer.networks for p in trainer.plan.parameters(role)}
    for role, network in trainer.networks.items():
        changed = set(differing(before[role], network.state_dict()))
        for name, parameter in network.named_parameters():
            if name in changed and id(parameter) not in listed:
                return f"{name} of the {role} has changed; list it in a group of the plan"
    return ""


@SUITE.check("resumes", "steps")
def resumes(subject: Strategy) -> str:
    """A run that is resumed ends as one that was not interrupted."""
    whole, first, second = subject.trainer(), subject.trainer(), subject.trainer()
    train(whole, 0, STEPS)
    train(first, 0, 2)
    continued(first, second)
    train(second, 2, STEPS)
    lost = differing(tensors(whole), tensors(second))
    if not lost:
        return ""
    return f"{lost[0]} differs; return what the strategy keeps from step to step in state_dict"


@SUITE.check("exports", "steps")
def exports(subject: Strategy) -> str:
    """The trained model is one of registered networks, which saves and loads."""
    trainer = subject.trainer()
    train(trainer)
    gan = trainer.snapshot()
    with tempfile.TemporaryDirectory() as place:
        loaded = load_gan(gan.save(Path(place, "model")))
    if torch.equal(loaded.generate(2), gan.generate(2)):
        return ""
    return "the loaded model makes other images; fold what was added into the generator in `export`"


@SUITE.check("classifiers", "strategy")
def classifiers(subject: Strategy) -> str:
    """A strategy fine-tunes classifiers, or says in `gans_only` that it does not."""
    with seeded(0):
        network = backbones.build("cnn", widths=[4, 8])
    strategy = subject.fresh()
    if strategy.gans_only:
        raise Skip(strategy.gans_only)
    try:
        with seeded(0):
            prepared = strategy.prepare_backbone(network)
    except UsageError as error:
        raise Skip(str(error)) from error
    if not isinstance(prepared, Plan) or not prepared.parameters("backbone"):
        return (
            "prepare_backbone does not return a plan that trains the backbone; override it, or set gans_only"
        )
    known = {id(p) for block in blocks(network) for p in block.parameters()}
    known |= {id(p) for module in prepared.modules.values() for p in module.parameters()}
    foreign = [p for p in prepared.parameters("backbone") if id(p) not in known]
    return "its plan lists parameters that the backbone does not have" if foreign else ""
