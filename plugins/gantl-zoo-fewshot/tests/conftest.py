"""A small GAN, images, and a run of a few steps."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, moved, new_trainer, state
from PIL import Image
from quick_runs import full_runs, quick_runs  # noqa: F401

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

Trained = Callable[..., tuple[Trainer, list[dict[str, set[str]]]]]


@pytest.fixture
def gan() -> gz.GAN:
    torch.manual_seed(0)
    return gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4}, name="small")


@pytest.fixture
def images() -> ImageData:
    torch.manual_seed(1)
    pixels = torch.randint(0, 255, (40, 1, 28, 28), dtype=torch.uint8)
    return ImageData(pixels, torch.arange(40) % 2, ("one", "other"), "noise")


@pytest.fixture
def photos(images: ImageData, tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for i, image in enumerate(images.images):
        Image.fromarray(image[0].numpy()).save(tmp_path / "photos" / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def trained() -> Trained:
    return steps


def steps(
    gan: gz.GAN, images: ImageData, name: str, count: int = 5, lr: float = 1e-2, **settings: Any
) -> tuple[Trainer, list[dict[str, set[str]]]]:
    """Train for `count` steps; returns the trainer and the tensors that changed in each step."""
    recipe = Recipe(steps=count, batch=4, precision="fp32", lr=lr, r1=0.1)
    trainer = new_trainer(gan, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32"))
    changed = []
    for step in range(count):
        before = {role: state(network) for role, network in trainer.networks.items()}
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
        changed.append({role: moved(before[role], network) for role, network in trainer.networks.items()})
    return trainer, changed
