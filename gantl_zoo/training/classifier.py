"""`ClassifierTrainer`: trains a classifier with cross-entropy, AdamW and a one-cycle learning rate.

N batch, C channels, H, W image size, L classes, V views (an image and its mirror image).
"""

from __future__ import annotations

import contextlib
import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.errors import DataError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.networks.base import evaluating
from gantl_zoo.seeding import seed_step
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.augment.diffaugment import shift
from gantl_zoo.training.augment.sampling import REPLICATED
from gantl_zoo.training.batches import Batches, epochs
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.frozen_features import PART, FrozenFeatures, frozen_features
from gantl_zoo.training.guard import Guard
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.loop import Loop
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.optimizers import adamw, one_cycle
from gantl_zoo.training.parts import Parts
from gantl_zoo.training.step import Player

ROLE = "backbone"


class ClassifierTrainer(Learner):
    """Trains a copy of `model` as the plan of a strategy says."""

    def __init__(
        self,
        model: Classifier,
        strategy: TransferStrategy,
        data: ImageData,
        recipe: ClassifierRecipe,
        engine: Engine,
    ) -> None:
        if data.labels is None:
            raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
        self.strategy, self.recipe, self.engine, self.pace = strategy, recipe, engine, recipe.pace(len(data))
        self.model = replace(model, backbone=copy.deepcopy(model.backbone))
        self.backbone: nn.Module = self.model.backbone
        self.networks, self.plan = {ROLE: self.backbone}, strategy.prepare_backbone(self.backbone)
        modules = [self.backbone, *self.plan.modules.values()]
        for network in modules:
            engine.place(network)
        optimizer = adamw(self.plan, ROLE, recipe.lr, recipe.weight_decay, engine)
        self.player = Player(ROLE, self.backbone, self.plan, optimizer, engine)
        self.weights = weights_of(data).to(engine.device) if recipe.class_weights == "balanced" else None
        count, shuffle = len(data), {"batch": recipe.batch, "seed": recipe.seed, "steps": self.pace.steps}
        self.batches = Batches(data, data.labels, lambda start: epochs(count, start=start, **shuffle), engine)
        self.features = self.frozen(data)
        if self.features is not None:
            self.batches.pixels = self.features.views(data, recipe.flip)
        self.guard = Guard([self.player], modules, engine.processes)
        saved = self.networks | {f"module.{name}": module for name, module in self.plan.modules.items()}
        self.contents = Contents(saved, (self.player,), strategy, engine.processes)
        self.parts = Parts("classifiers are trained without them" if engine.graphs else "")
        self.loss = torch.zeros((), device=engine.device)  # sum of the cross-entropy since the last logging
        self.summed = 0

    def run(
        self,
        observer: Observer,
        folder: Path | None = None,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """Train from step 0, or from the newest checkpoint in `folder`, to the end of the last epoch.

        Raises `TrainingError` if roll-backs don't remove non-finite values, `Stopped` after an interruption.
        """
        Loop(self, observer, folder, callbacks).run(resume)
        self.backbone.eval()

    def snapshot(self) -> Classifier:
        """The current classifier. It shares its weights with the one in training."""
        return self.model

    @torch.enable_grad()
    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Train one step on `pixels` (n, C, H, W), uint8, and labels (n,). Returns the losses."""
        self.begin(step)
        factor, beta1 = one_cycle(step, self.pace.steps)
        self.player.set_rates(factor * self.guard.slowdown, beta1)
        seed_step(self.recipe.seed, step)
        before = self.guard.statistics()
        images = self.inputs(pixels)
        self.player.failed.zero_()
        assert labels is not None  # checked in `__init__`
        losses: dict[str, Tensor] = {}
        if self.player.learns:
            losses = self.player.learn([(images, labels)], 1.0, self.terms, self.strategy)
        self.guard.undo_if_skipped(before)
        return losses

    def frozen(self, data: ImageData) -> FrozenFeatures | None:
        """The stored features, if only the last block is trained and images are not shifted."""
        if self.recipe.shift:  # each shift would need features of its own
            return None
        return frozen_features(self.backbone, self.plan, data, 1 + self.recipe.flip, self.engine)

    def inputs(self, pixels: Tensor) -> Tensor:
        """Augmented images (n, C, H, W) of uint8 pixels, or features (n, …) of stored ones (n, V, …)."""
        if self.features is not None:
            if not self.recipe.flip:
                return pixels[:, 0]
            mirrored = torch.rand(len(pixels), 1, 1, 1, device=pixels.device).flatten() < 0.5
            return pixels[torch.arange(len(pixels), device=pixels.device), mirrored.long()]
        images = augment(to_float(pixels.to(self.engine.device)), self.recipe)
        return images.contiguous(memory_format=self.engine.layout)

    def logits(self, data: ImageData) -> Tensor:
        """Logits (N, L) of the images in `data`, on the CPU, in the precision of the training."""
        if self.features is not None:
            return self.features.logits(data)
        return logits_of(self.backbone, data, self.engine)

    def terms(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The loss terms on images (N, C, H, W) and labels (N,)."""
        images, labels = batch
        network = self.backbone if self.features is None else self.features.head
        with self.engine.autocast():
            logits = network(images)  # (N, L)
        smoothing = self.recipe.smoothing
        loss = functional.cross_entropy(logits.float(), labels, self.weights, label_smoothing=smoothing)
        self.loss += loss.detach()
        self.summed += 1
        return self.strategy.backbone_loss(loss, self.backbone)

    def numbers(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """The mean cross-entropy since the last call."""
        mean = float(self.loss) / max(self.summed, 1)
        self.loss.zero_()
        self.summed = 0
        return {"loss": mean}

    def state(self) -> dict[str, Any]:
        return {"loss": float(self.loss), "summed": self.summed}

    def restore(self, state: Mapping[str, Any]) -> None:
        self.loss.fill_(state["loss"])
        self.summed = state["summed"]


def augment(images: Tensor, recipe: ClassifierRecipe) -> Tensor:
    """Shift each image (N, C, H, W) by a random number of pixels; mirror half of them if `recipe.flip`."""
    if recipe.flip:
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return shift(images, recipe.shift, recipe.shift, REPLICATED) if recipe.shift else images


def weights_of(data: ImageData) -> Tensor:
    """Weights (L,) with which each class counts the same in the loss; their mean over the images is 1."""
    counts = counts_of(data)
    return len(data) / (counts > 0).sum() / counts.clamp(min=1).float()


def accuracy(backbone: nn.Module, data: ImageData) -> float:
    """The accuracy of the backbone on `data`, from 0 to 1. Raises `DataError` without labels."""
    labels = labels_of(data)
    return float((logits_of(backbone, data).argmax(1) == labels).double().mean())


@torch.inference_mode()
def logits_of(backbone: nn.Module, data: ImageData, engine: Engine | None = None) -> Tensor:
    """Logits (N, L) of the images in `data`, float32 on the CPU, in eval mode.

    `engine` says in which precision they are computed; without one it is that of the weights.
    """
    device, network = next(backbone.parameters()).device, evaluating(backbone)
    chunks = []
    for part in torch.arange(len(data)).split(PART):  # type: ignore[no-untyped-call]
        with engine.autocast() if engine else contextlib.nullcontext():
            chunks.append(network(to_float(data.images[part].to(device))).float().cpu())
    return torch.cat(chunks)


def labels_of(data: ImageData) -> Tensor:
    """The labels (N,). Raises `DataError` if the images have none."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
    return data.labels


def counts_of(data: ImageData) -> Tensor:
    """The number of images of each class (L,)."""
    return torch.bincount(labels_of(data), minlength=len(data.classes))
