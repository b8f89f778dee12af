"""`ClassifierTrainer`: trains a classifier with cross-entropy, AdamW and a one-cycle learning rate.

N batch, C channels, H, W image size, L classes.
"""

from __future__ import annotations

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
from gantl_zoo.training.batches import Batches, epochs
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.guard import Guard
from gantl_zoo.training.learner import Learner
from gantl_zoo.training.loop import Loop
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.optimizers import adamw, one_cycle
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
        count, shuffle = len(data), {"batch": recipe.batch, "seed": recipe.seed, "steps": self.pace.steps}
        self.batches = Batches(data, data.labels, lambda start: epochs(count, start=start, **shuffle), engine)
        self.guard = Guard([self.player], modules, engine.processes)
        saved = self.networks | {f"module.{name}": module for name, module in self.plan.modules.items()}
        self.contents = Contents(saved, (self.player,), strategy, engine.processes)
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
        images = augment(to_float(pixels.to(self.engine.device)), self.recipe)
        images = images.contiguous(memory_format=self.engine.layout)
        self.player.failed = torch.zeros_like(self.player.failed)
        assert labels is not None  # checked in `__init__`
        losses: dict[str, Tensor] = {}
        if self.player.learns:
            losses = self.player.learn([(images, labels)], 1.0, self.terms, self.strategy)
        self.guard.undo_if_skipped(before)
        return losses

    def terms(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """The loss terms on images (N, C, H, W) and labels (N,)."""
        images, labels = batch
        with self.engine.autocast():
            logits = self.backbone(images)  # (N, L)
        smoothing = self.recipe.smoothing
        loss = functional.cross_entropy(logits.float(), labels, label_smoothing=smoothing)
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
    return shift(images, recipe.shift, recipe.shift, "replicate") if recipe.shift else images


@torch.inference_mode()
def accuracy(backbone: nn.Module, data: ImageData) -> float:
    """The accuracy of the backbone on `data`, from 0 to 1, in eval mode."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
    device = next(backbone.parameters()).device
    correct = 0
    backbone = evaluating(backbone)
    for part in torch.arange(len(data)).split(500):  # type: ignore[no-untyped-call]
        images, labels = data.images[part], data.labels[part]
        correct += int((backbone(to_float(images.to(device))).argmax(1).cpu() == labels).sum())
    return correct / len(data)
