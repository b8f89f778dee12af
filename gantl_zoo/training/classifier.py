"""The classifier's loop: cross-entropy, AdamW, one cycle of the learning rate. Adversarial nothing.

N batch, C channels, H, W image size, L classes.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.errors import DataError
from gantl_zoo.networks.base import evaluating
from gantl_zoo.registry.arguments import AT_LEAST_ONE, BELOW_ONE, NOT_NEGATIVE, POSITIVE, Limit, check
from gantl_zoo.seeding import seed_step
from gantl_zoo.strategy.base import Plan, TransferStrategy
from gantl_zoo.training.augment.diffaugment import shift
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.recipe import SEED

Report = Callable[[int, float, float], None]  # epoch, mean loss, images a second
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
    batch: int = 128
    seed: int = 0
    lr: float = 1e-3
    weight_decay: float = 0.01
    shift: int = 2  # images are shifted by up to so many pixels
    flip: bool = False  # and mirrored, where left and right mean the same
    smoothing: float = 0.0

    def __post_init__(self) -> None:
        check(self, LIMITS)


class ClassifierTrainer:
    """One run: a backbone that changes, and what of it a strategy lets learn."""

    def __init__(self, backbone: nn.Module, strategy: TransferStrategy, engine: Engine) -> None:
        self.backbone, self.strategy, self.engine = backbone, strategy, engine
        self.plan: Plan = strategy.prepare_backbone(backbone)
        for network in (backbone, *self.plan.modules.values()):
            engine.place(network)

    def fit(self, data: ImageData, recipe: ClassifierRecipe, report: Report) -> None:
        """Train the backbone in place on labelled `data`; only what the plan lists learns."""
        if data.labels is None:
            raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
        steps = math.ceil(len(data) / recipe.batch)
        optimizer, schedule = optimizers(self.plan, recipe, steps)
        switches: tuple[bool, ...] | None = None
        for epoch in range(recipe.epochs):
            clock, total = time.perf_counter(), torch.zeros((), device=self.engine.device)
            seed_step(recipe.seed, epoch)
            for step, index in enumerate(torch.split(torch.randperm(len(data)), recipe.batch), epoch * steps):
                self.strategy.on_step(step, self.plan)
                if switches != self.plan.switches():
                    self.plan.apply({"backbone": self.backbone})
                    switches = self.plan.switches()
                optimizer.zero_grad(set_to_none=True)
                total += self.learn(data.images[index], data.labels[index], recipe)
                self.strategy.on_gradients("backbone")
                optimizer.step()
                self.strategy.after_step("backbone")
                schedule.step()
            report(epoch + 1, float(total) / steps, len(data) / (time.perf_counter() - clock))
        self.backbone.eval()

    def learn(self, pixels: Tensor, labels: Tensor, recipe: ClassifierRecipe) -> Tensor:
        """The gradients of one batch (N, C, H, W) uint8 with labels (N,); returns its cross-entropy."""
        images = augment(to_float(pixels.to(self.engine.device)), recipe)
        with self.engine.autocast():
            logits = self.backbone(images)  # (N, L)
        target = labels.to(self.engine.device)
        loss = functional.cross_entropy(logits.float(), target, label_smoothing=recipe.smoothing)
        terms = self.strategy.backbone_loss(loss, self.backbone)
        torch.stack(list(terms.values())).sum().backward(inputs=self.plan.parameters("backbone"))  # type: ignore[no-untyped-call]
        return loss.detach()


def optimizers(
    plan: Plan, recipe: ClassifierRecipe, per_epoch: int
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW over the plan's groups, each at its rate, and one cycle over all steps."""
    groups = [group for group in plan.groups["backbone"] if group.parameters]
    rates = [recipe.lr * group.lr_multiplier for group in groups]
    optimizer = torch.optim.AdamW(
        [{"params": group.parameters} for group in groups],
        lr=recipe.lr,
        weight_decay=recipe.weight_decay,
        fused=True,
    )
    return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, recipe.epochs * per_epoch)


def augment(images: Tensor, recipe: ClassifierRecipe) -> Tensor:
    """Shift a batch (N, C, H, W) by whole pixels, one draw an image, and mirror half of it."""
    if recipe.flip:
        mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
        images = torch.where(mirrored, images.flip(3), images)
    return shift(images, recipe.shift, recipe.shift, "replicate") if recipe.shift else images


@torch.inference_mode()
def accuracy(backbone: nn.Module, data: ImageData) -> float:
    """The share of `data` that the backbone names rightly, in eval mode."""
    if data.labels is None:
        raise DataError(f"{data.name} has no labels: put each class's images into a sub-folder")
    device = next(backbone.parameters()).device
    right = 0
    backbone = evaluating(backbone)
    for part in torch.arange(len(data)).split(500):  # type: ignore[no-untyped-call]
        images, labels = data.images[part], data.labels[part]
        right += int((backbone(to_float(images.to(device))).argmax(1).cpu() == labels).sum())
    return right / len(data)
