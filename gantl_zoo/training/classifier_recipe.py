"""`ClassifierRecipe`: all settings of a classifier's training. Imports no torch."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from gantl_zoo.registry.arguments import AT_LEAST_ONE, BELOW_ONE, NOT_NEGATIVE, POSITIVE, Limit, check, one_of
from gantl_zoo.training.recipe import SEED

if TYPE_CHECKING:
    from gantl_zoo.training.pace import Pace

# Settings that `classify_transfer` chooses for pretrained networks (`gantl_zoo.runs.classify_choice`).
CHOSEN: dict[str, Any] = dict.fromkeys(("epochs", "batch", "lr", "shift", "flip"))
LOOKS = 20  # maximum number of evaluations during training
LIMITS: dict[str, Limit] = {
    "epochs": AT_LEAST_ONE,
    "batch": ("at least 2", lambda value: value >= 2),  # BatchNorm needs several images
    "seed": SEED,
    "lr": POSITIVE,
    "weight_decay": NOT_NEGATIVE,
    "shift": NOT_NEGATIVE,
    "smoothing": BELOW_ONE,
    "class_weights": one_of("none", "balanced"),
    "patience": NOT_NEGATIVE,
}


@dataclass(frozen=True, kw_only=True)
class ClassifierRecipe:
    """Settings of a classifier's training. Raises `UsageError` for impossible values.

    `epochs`: number of passes over the training images.
    `batch`: largest number of images per step.
    `seed`: seed of the initial weights, of the order of the images and of all other random numbers.
    `lr`: highest learning rate of the one-cycle schedule.
    `weight_decay`: weight decay of AdamW.
    `shift`: largest random shift of an image, in pixels. 0 turns it off.
    `flip`: mirror a random half of the images, for data in which left and right have the same meaning.
    `smoothing`: label smoothing, from 0 to below 1.
    `class_weights`: balanced gives each class the same weight in the loss, however many images it has; none
        gives each image the same weight.
    `patience`: stop after this number of epochs without a higher held-out accuracy. 0 never stops early.
    """

    epochs: int = 10
    batch: int = 128
    seed: int = 0
    lr: float = 1e-3
    weight_decay: float = 0.01
    shift: int = 2
    flip: bool = False
    smoothing: float = 0.0
    class_weights: str = "none"
    patience: int = 0

    def __post_init__(self) -> None:
        check(self, LIMITS)

    def per_epoch(self, count: int) -> int:
        """The number of steps per epoch of `count` images."""
        return math.ceil(count / self.batch)

    def pace(self, count: int) -> Pace:
        """The pace of a run on `count` images. It logs and saves after epochs, at most `LOOKS` times."""
        from gantl_zoo.training.pace import Pace

        per_epoch = self.per_epoch(count)
        every = math.ceil(self.epochs / LOOKS) * per_epoch
        return Pace(
            steps=self.epochs * per_epoch,
            batch=round(count / per_epoch),
            seed=self.seed,
            log_every=every,
            checkpoint_every=every,
        )
