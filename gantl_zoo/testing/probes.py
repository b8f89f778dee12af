"""Small networks and images for checks, and training for a few steps. Everything has a fixed seed.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.model.gan import GAN, build_gan
from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.seeding import seeded
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.classifier import ClassifierTrainer
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.losses import build_loss
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import set_up
from gantl_zoo.training.trainer import Trainer

BATCH = 4
WIDTH = 8  # channels of the small networks
TOLERANCE = 1e-3  # of equal numbers that were computed in another order
POOLED = 4  # side of the image that the small networks work on


class SmallGenerator(nn.Module):
    """Maps noise (N, Z) to images (N, C, H, W) of any shape; the partner of a discriminator under test."""

    latent_dim = 8

    def __init__(self, image_shape: tuple[int, ...], num_classes: int = 0) -> None:
        super().__init__()
        self.image_shape, self.num_classes = image_shape, num_classes
        first = nn.Sequential(nn.Linear(8, image_shape[0] * POOLED**2), nn.Tanh())
        last = nn.Sequential(
            nn.Unflatten(1, (image_shape[0], POOLED, POOLED)),
            nn.Upsample(size=tuple(image_shape[1:])),
            nn.Conv2d(image_shape[0], image_shape[0], 1),
            nn.Tanh(),
        )
        self.blocks = nn.ModuleList([first, last])
        if num_classes:
            first.append(ByClass(num_classes, image_shape[0] * POOLED**2))

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        first, last = self.blocks
        features = through(first, noise, labels)
        images: Tensor = last(features)
        return images


class SmallDiscriminator(nn.Module):
    """Maps images (N, C, H, W) of any shape to logits (N,); the partner of a generator under test."""

    def __init__(self, image_shape: tuple[int, ...], num_classes: int = 0) -> None:
        super().__init__()
        self.image_shape, self.num_classes = image_shape, num_classes
        first = nn.Sequential(nn.AdaptiveAvgPool2d(POOLED), nn.Flatten(), nn.LeakyReLU(0.2))
        first.insert(0, nn.Conv2d(image_shape[0], WIDTH, 3, padding=1))
        self.blocks = nn.ModuleList([first, nn.Sequential(nn.Linear(WIDTH * POOLED**2, 1), nn.Flatten(0))])
        if num_classes:
            first.append(ByClass(num_classes, WIDTH * POOLED**2))

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        first, last = self.blocks
        features = through(first, images, labels)
        logits: Tensor = last(features)
        return logits


def through(layers: nn.Module, features: Tensor, labels: Tensor | None) -> Tensor:
    """The output of layers one after the other; those of a class also get the labels (N,)."""
    for layer in layers.children():
        features = layer(features, labels) if isinstance(layer, ByClass) else layer(features)
    return features


class ByClass(nn.Module):
    """Adds a learned vector of the class to features (N, D)."""

    def __init__(self, num_classes: int, size: int) -> None:
        super().__init__()
        self.table = nn.Embedding(num_classes, size)

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:
        shift: Tensor = self.table(labels)
        return features + shift


def small_gan() -> GAN:
    """An unconditional DCGAN of a few thousand parameters for grey images of 28×28 pixels."""
    with seeded(0):
        small = {"width": 4}
        return build_gan(
            "dcgan", generator_config={**small, "latent_dim": 8}, discriminator_config=small, name="small"
        )


def images_for(shape: tuple[int, ...], classes: int = 0, count: int = 24) -> ImageData:
    """Random images (N, C, H, W): bright spots on a dark ground, in `classes` equal parts."""
    random = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 80, (count, *shape), dtype=torch.uint8, generator=random)
    spots = torch.rand((count, 1, *shape[1:]), generator=random) < 0.2
    pixels = torch.where(spots, torch.full_like(pixels, 230), pixels)
    labels = torch.arange(count) % classes if classes else None
    return ImageData(pixels, labels, tuple(map(str, range(classes))), "random")


def with_partner(kind: str, name: str, config: Mapping[str, Any], network: Any) -> GAN:
    """A GAN of the network under test and a small partner."""
    shape, classes = tuple(network.image_shape), num_classes_of(network)
    part = {"name": name, "config": dict(config)}
    with seeded(1):
        if kind == "generators":
            return GAN(network, SmallDiscriminator(shape, classes), {"generator": part}, name="checked")
        return GAN(SmallGenerator(shape, classes), network, {"generator": part}, name="checked")


def trainer_of(
    gan: GAN, strategy: TransferStrategy | None = None, images: ImageData | None = None, **settings: Any
) -> Trainer:
    """A trainer of a few steps. `settings` are those of `Recipe`."""
    images = images or images_for(gan.image_shape, gan.num_classes)
    recipe = Recipe(**{"steps": 4, "batch": BATCH, "precision": "fp32", "device": "cpu", **settings})
    loss = build_loss(recipe.loss, recipe.loss_config)
    setup = set_up(gan, strategy or TransferStrategy(), images, recipe.seed, loss)
    return Trainer(setup, images, recipe, engine.choose("cpu", "fp32"))


def classifier_trainer_of(backbone: nn.Module) -> ClassifierTrainer:
    """A trainer of a classifier for a few steps."""
    channels, classes = int(backbone.channels), int(backbone.num_classes)  # type: ignore[arg-type]
    images = images_for((channels, 32, 32), classes, count=2 * classes)
    recipe = ClassifierRecipe(epochs=4, batch=BATCH, lr=1e-2, weight_decay=0.0)
    model = Classifier(backbone, {})
    return ClassifierTrainer(model, TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))


def train(trainer: Learner, start: int = 0, stop: int = 2) -> dict[str, float]:
    """Train some steps. Returns all loss terms of the last one."""
    losses: dict[str, Tensor] = {}
    with training_modes(), seeded(0):
        for step in range(start, stop):
            losses = trainer.step(step, torch.arange(trainer.recipe.batch) + step)
    return {name: float(value) for name, value in losses.items()}


def tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Copies of all tensors that a checkpoint has."""
    return checkpoint.gather(trainer.contents)


def continued(first: Trainer, second: Trainer) -> None:
    """Put the state of the first trainer, after two steps, into the second one by a checkpoint."""
    with tempfile.TemporaryDirectory() as place:
        checkpoint.save(Path(place), first.contents, {"step": 2})
        with training_modes():
            checkpoint.restore(Path(place), second.contents)


def differing(first: Mapping[str, Tensor], second: Mapping[str, Tensor]) -> list[str]:
    """The names of tensors that are not equal bit for bit."""
    return [name for name, tensor in first.items() if not torch.equal(tensor, second[name])]
