"""Functions and settings that tests share and that are not fixtures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData
from gantl_zoo.seeding import order
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.classifier import ClassifierTrainer
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

SMALL = {"width": 4, "latent_dim": 8}  # a DCGAN generator of a few thousand parameters
TINY = {
    "steps": 6, "batch": 8, "precision": "fp32", "metrics": (), "checkpoint_every": 3, "metrics_every": 3,
    "generator_config": SMALL, "discriminator_config": {"width": 4, "dropout": 0.1},
}  # fmt: skip

# settings with which strategies that change during a run do so at once
EARLY: dict[str, dict[str, Any]] = {
    "adam": {"probe": 1},
    "cdc": {"every": 2},
    "gradual": {"every": 1},
    "mine": {"steps": 1},
    "vision-aided": {"warmup": 1},
    "warm-discriminator": {"steps": 1},
}


def sized(kind: str, name: str, width: int = 4, **config: Any) -> dict[str, Any]:
    """The arguments of a network of about `width` channels, from those of families with such an argument."""
    takes, further = registry.REGISTRIES[kind].takes(name)  # further ones go to an inner network
    if "channel_max" in takes:
        config |= {"channel_base": 16 * width, "channel_max": width}
        return config | ({"w_dim": 8, "mapping_layers": 2} if kind == "generators" else {})
    return config | ({"width": width} if further or "width" in takes else {})


def order_of(count: int, recipe: Recipe, start: int) -> Iterator[Tensor]:
    """The order in which a run reads its images, from step `start` on."""
    return order(count, batch=recipe.batch, seed=recipe.seed, start=start, steps=recipe.steps)


def state(network: torch.nn.Module) -> dict[str, torch.Tensor]:
    """A copy of all tensors of a network."""
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def moved(before: dict[str, torch.Tensor], network: torch.nn.Module) -> set[str]:
    """The names of the tensors that have changed in any bit."""
    return {name for name, tensor in network.state_dict().items() if not torch.equal(before[name], tensor)}


def check_report(old: Any, new: Any, report: list[Any]) -> None:
    """Check that a report of loaded weights has every tensor of both networks exactly once."""
    for role in ("generator", "discriminator"):
        mine = [match for match in report if match.role == role]
        filled = [match.tensor for match in mine if match.how != "dropped"]
        assert sorted(filled) == sorted(getattr(new, role).state_dict())
        gone = {match.tensor for match in mine if match.how == "dropped"}
        assert gone <= set(getattr(old, role).state_dict())
        assert all(match.note for match in mine if match.how in ("adapted", "fresh"))


def new_trainer(
    gan: gz.GAN, strategy: gz.TransferStrategy, data: ImageData, recipe: Recipe, machine: engine.Engine
) -> Trainer:
    """A trainer of a GAN that the strategy has prepared."""
    return Trainer(set_up(gan, strategy, data, recipe.seed), data, recipe, machine)


ROLES = ("generator", "discriminator")


def trained(
    gan: gz.GAN, images: ImageData, name: str, count: int = 2, **settings: Any
) -> tuple[Trainer, dict[str, set[str]], list[dict[str, Tensor]]]:
    """A trainer after `count` steps, the tensors of both networks that changed, and each step's losses."""
    before = {role: state(getattr(gan, role)) for role in ROLES}
    recipe = Recipe(steps=count, batch=4, precision="fp32", lr=1e-2)
    trainer = new_trainer(gan, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32"))
    losses = [trainer.step(step, torch.arange(4)) for step in range(count)]
    return trainer, {role: moved(before[role], getattr(gan, role)) for role in ROLES}, losses


def block_numbers(names: set[str]) -> set[str]:
    """The numbers of the blocks that have these tensors."""
    return {name.split(".")[1] for name in names}


def train_classifier(
    backbone: torch.nn.Module, strategy: gz.TransferStrategy, data: ImageData, recipe: ClassifierRecipe
) -> None:
    """Train the backbone in place."""
    model = gz.Classifier(backbone, {})
    trainer = ClassifierTrainer(model, strategy, data, recipe, engine.choose("cpu", "fp32"))
    trainer.run(Observer())
    backbone.load_state_dict(trainer.snapshot().backbone.state_dict())


def run(capsys: pytest.CaptureFixture[str], *words: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    with pytest.raises(SystemExit) as stop:
        main([str(word) for word in words])
    captured = capsys.readouterr()
    return int(stop.value.code or 0), captured.out, captured.err
