"""`ClassifierTrainer`: a backbone that learns classes. Cross-entropy, AdamW, one cycle of the learning rate.

N batch, C channels, H, W image size, L classes.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.errors import DataError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.networks.base import evaluating
from gantl_zoo.registry.arguments import AT_LEAST_ONE, BELOW_ONE, NOT_NEGATIVE, POSITIVE, Limit, check
from gantl_zoo.seeding import seed_step
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.augment.diffaugment import shift
from gantl_zoo.training.batches import Batches, epochs
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.guard import Guard
from gantl_zoo.training.learner import Learner, Pace
from gantl_zoo.training.loop import Loop
from gantl_zoo.training.observer import Observer
from gantl_zoo.training.optimizers import adamw, one_cycle
from gantl_zoo.training.recipe import SEED
from gantl_zoo.training.step import Player

ROLE = "backbone"
LOOKS = 20  # at held-out images, at most, while a classifier is trained
LIMITS: dict[str, Limit] = {
    "epochs": AT_LEAST_ONE,
    "batch": ("at least 2", lambda value: value >= 2),  # BatchNorm compares images
    "seed": SEED,
    "lr": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "shift": NOT_NEGATIVE,
    "smoothing": BELOW_ONE,
}


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """Settings of a classifier's training. Raises `UsageError` for impossible values."""

    epochs: int = 10
    batch: int = 128  # images a step, at most
    seed: int = 0
    lr: float = 1e-3  # the highest of the cycle
    weight_decay: float = 0.01
    shift: int = 2  # images are shifted by up to so many pixels
    flip: bool = False  # and mirrored, where left and right mean the same
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, LIMITS)

    def per_epoch(self, count: int) -> int:
        """Steps of an epoch of `count` images."""
        return math.ceil(count / self.batch)

    def pace(self, count: int) -> Pace:
        """The steps of a run on `count` images. It logs and saves at the end of an epoch, and not of each of
        many.
        """
        per_epoch = self.per_epoch(count)
        every = math.ceil(self.epochs / LOOKS) * per_epoch
        return Pace(
            steps=self.epochs * per_epoch,
            batch=round(count / per_epoch),
            seed=self.seed,
            log_every=every,
            checkpoint_every=every,
        )


class ClassifierTrainer(Learner):
    """One run: a copy of `model` that changes, and what of it a strategy lets learn."""

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
        self.loss = torch.zeros((), device=engine.device)  # cross-entropy, summed since it was last logged
        self.summed = 0

    def run(
        self,
        observer: Observer,
        folder: Path | None = None,
        resume: bool = False,
        callbacks: Sequence[Callback] = (),
    ) -> None:
        """Train from step 0, or from the newest checkpoint in `folder`, to the end of the last epoch.

        Raises `TrainingError` if gradients or weights stay not finite, `Stopped` after an interruption.
        """
        Loop(self, observer, folder, callbacks).run(resume)
        self.backbone.eval()

    def snapshot(self) -> Classifier:
        """The classifier as it is now."""
        return self.model

    @torch.enable_grad()
    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """One step on `pixels` (n, C, H, W) uint8 and their labels (n,)."""
        self.begin(step)
        factor, beta1 = one_cycle(step, self.pace.steps)
        self.player.set_rates(factor * self.guard.slowdown, beta1)
        seed_step(self.recipe.seed, step)
        before = self.guard.statistics()
        images = augment(to_float(pixels.to(self.engine.device)), self.recipe)
        images = images.contiguous(memory_format=self.engine.layout)
        self.player.failed = torch.zeros_like(self.player.failed)
        assert labels is not None  # as checked
        losses: dict[str, Tensor] = {}
        if self.player.learns:
            losses = self.player.learn([(images, labels)], 1.0, self.terms, self.strategy)
        self.guard.undo_if_skipped(before)
        return losses

    def terms(self, batch: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """What is minimised on images (N, C, H, W) and labels (N,)."""
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
    """Shift a batch (N, C, H, W) by whole pixels, one draw an image, and mirror half of it."""
    if recipe.flip:
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return shift(images, recipe.shift, recipe.shift, "replicate") if recipe.shift else images


@torch.inference_mode()
def accuracy(backbone: nn.Module, data: ImageData) -> float:
    """The share of `data` that the backbone classifies correctly, in eval mode."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
    device = next(backbone.parameters()).device
    right = 0
    backbone = evaluating(backbone)
    for part in torch.arange(len(data)).split(500):  # type: ignore[no-untyped-call]
        images, labels = data.images[part], data.labels[part]
        right += int((backbone(to_float(images.to(device))).argmax(1).cpu() == labels).sum())
    return right / len(data)
