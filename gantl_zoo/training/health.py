"""`HealthMonitor`: cheap statistics of collapse, saturation, overfitting and memorisation during training.

- diversity: mean distance between the features of two samples, divided by that of two real images. A
  collapsed generator makes the same image from all latents.
- saturation: the share of pairs in which the discriminator ranks the real image above the fake one (the area
  under its ROC curve, independent of the scale of the logits). 0.5 is chance.
- overfitting: r = (E[D(train)] - E[D(held out)]) / (E[D(train)] - E[D(fake)]) (Karras et al. 2020,
  https://arxiv.org/abs/2006.06676, equation 1). 0 is none; at 1 held-out images get the same logits as fakes.
- nn_distance: the median distance of samples to their nearest training image, divided by that of held-out
  images. About 1 for new images, 0 for copies.
- leak: the share of samples that lie nearer to an augmented training image than to any original one.

`gantl_zoo.runs.diagnosis` says what they mean.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import to_float
from gantl_zoo.errors import DataError
from gantl_zoo.networks.base import call, num_classes_of
from gantl_zoo.seeding import seeded
from gantl_zoo.training.critic import rank

LOOKED_AT = 128  # images of each kind per check
ALIVE, COLLAPSED = 0.4, 0.2  # thresholds of diversity
GRACE = 2_000  # steps in which a collapse never ends a run, unless the samples have been diverse


@dataclass
class Signs:
    """The health statistics of one step."""

    diversity: float
    saturation: float | None  # None if the discriminator is not trained
    overfitting: float | None
    nn_distance: float | None = None
    leak: float | None = None

    def as_row(self) -> dict[str, float]:
        """The statistics as a row of `stats.jsonl`."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass
class HealthMonitor:
    """Compares samples with `real` training images, and these with `held_out` images (both uint8)."""

    features: Callable[[Tensor], Tensor]
    real: Tensor
    held_out: Tensor | None = None
    labels: Tensor | None = None  # of `real`, for a class-conditional generator
    held_out_labels: Tensor | None = None
    alive: bool = False  # whether the samples have ever been diverse
    known: Tensor = field(init=False)  # features of `real`
    distance: float | None = field(init=False)  # median of held-out images to the nearest real one
    reference: float = field(init=False)

    def __post_init__(self) -> None:
        if len(self.real) < 2:
            raise DataError(f"health checks need at least 2 training images, not {len(self.real)}")
        self.known = self.features(to_float(self.real))  # (N, D)
        unseen = None if self.held_out is None else self.features(to_float(self.held_out))
        self.distance = None if unseen is None else float(to_nearest(unseen, self.known).median())
        self.reference = float(torch.pdist(self.known).mean())

    @torch.no_grad()
    def look(
        self,
        generator: nn.Module,
        discriminator: Callable[..., Tensor] | None,
        device: torch.device,
        augment: Callable[[Tensor], Tensor] | None = None,
    ) -> Signs:
        """Compute the statistics on samples of `generator` from fixed latents.

        `discriminator` returns logits of images (N, C, H, W); it is None if it is not trained. If the
        generator is class-conditional, the samples have the labels of the real images in turn, and
        `discriminator` also takes labels (N,). `augment` is the augmentation, if there is one.
        """
        latent_dim: Any = generator.latent_dim
        conditional = bool(num_classes_of(generator))

        fake_labels = None if self.labels is None else self.labels[torch.arange(LOOKED_AT) % len(self.labels)]
        noise = torch.randn(LOOKED_AT, latent_dim, generator=torch.Generator().manual_seed(0))
        labels = None if fake_labels is None else fake_labels.to(device)
        fake = call(generator, noise.to(device), labels).float()  # (N, C, H, W)
        signs = self._compare(fake.cpu(), augment, device)
        if discriminator is None:
            return signs

        def logits(images: Tensor, labels: Tensor | None) -> Tensor:
            arguments = (labels.to(device),) if conditional and labels is not None else ()
            return discriminator(images.to(device), *arguments).float()

        real_logits, fake_logits = logits(to_float(self.real), self.labels), logits(fake, fake_labels)
        ranked = rank(real_logits)[:, None] > rank(fake_logits)[None, :]
        signs.saturation = float(ranked.float().mean())
        gap = float(real_logits.mean() - fake_logits.mean())
        if self.held_out is not None and gap > 0:
            held_out_logits = logits(to_float(self.held_out), self.held_out_labels)
            signs.overfitting = float(real_logits.mean() - held_out_logits.mean()) / gap
        return signs

    def sure(self, step: int) -> bool:
        """Whether samples that are all alike at `step` mean a collapse, and not a fresh generator."""
        return self.alive or step >= GRACE

    def collapse(self, signs: Signs) -> str:
        """A message if the samples have collapsed at these statistics, else an empty string."""
        self.alive = self.alive or signs.diversity >= ALIVE
        if signs.diversity >= COLLAPSED:
            return ""
        return f"the samples are only {signs.diversity:.2f} times as diverse as real images"

    def _compare(
        self, fake: Tensor, augment: Callable[[Tensor], Tensor] | None, device: torch.device
    ) -> Signs:
        """The statistics of images (N, C, H, W) that need no discriminator; NaN for non-finite images."""
        if not fake.isfinite().all():
            return Signs(math.nan, None, None)
        features = self.features(fake)
        signs = Signs(float(torch.pdist(features).mean()) / max(self.reference, 1e-12), None, None)
        nearest = to_nearest(features, self.known)
        if self.distance is not None:
            signs.nn_distance = float(nearest.median()) / max(self.distance, 1e-12)
        if augment is not None:
            with seeded(0):
                changed = self.features(augment(to_float(self.real).to(device)).float().cpu())
            signs.leak = float((to_nearest(features, changed) < nearest).float().mean())
        return signs


def to_nearest(features: Tensor, others: Tensor) -> Tensor:
    """The distance of each feature (N, D) to the nearest of the others (M, D): (N,)."""
    return torch.cdist(features, others).amin(1)
