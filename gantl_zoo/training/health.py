"""`HealthMonitor`: cheap checks for collapse, saturation and overfitting during training.

- diversity: mean distance between the features of two samples, divided by that of two real images. A
  collapsed generator makes the same image from all latents.
- saturation: the share of pairs in which the discriminator ranks the real image above the fake one (the area
  under its ROC curve, independent of the scale of the logits). 0.5 is chance; at 1 the generator gets no
  useful gradient.
- overfitting: r = (E[D(train)] - E[D(held out)]) / (E[D(train)] - E[D(fake)]) (Karras et al. 2020,
  https://arxiv.org/abs/2006.06676, equation 1). 0 is none; at 1 held-out images get the same logits as fakes.
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
from gantl_zoo.training.critic import rank

LOOKED_AT = 128  # images of each kind per check
ALIVE, COLLAPSED = 0.4, 0.2  # thresholds of diversity
GRACE = 2_000  # steps in which a fresh generator may produce samples that are all alike
SURE = 0.995  # threshold of saturation
MEMORISED = 0.7  # threshold of overfitting

ADVICE = {
    "collapse": "try a lower --lr, a larger --r1, --aug diffaugment or --on-collapse rollback",
    "saturation": "try a lower --discriminator-lr, a larger --r1 or --aug diffaugment",
    "overfitting": "try --aug ada, --aug diffaugment, --strategy freeze-d or fewer --steps",
}
WITHOUT_DISCRIMINATOR = "try a lower --lr, a larger --batch or --on-collapse rollback"


@dataclass
class Signs:
    """The health statistics of one step."""

    diversity: float
    saturation: float | None  # None if the discriminator is not trained
    overfitting: float | None

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
    reference: float = field(init=False)

    def __post_init__(self) -> None:
        if len(self.real) < 2:
            raise DataError(f"health checks need at least 2 training images, not {len(self.real)}")
        self.reference = self._spread(to_float(self.real))

    @torch.no_grad()
    def look(
        self, generator: nn.Module, discriminator: Callable[..., Tensor] | None, device: torch.device
    ) -> Signs:
        """Compute the statistics on samples of `generator` from fixed latents.

        `discriminator` returns logits of images (N, C, H, W); it is None if it is not trained. If the
        generator is class-conditional, the samples have the labels of the real images in turn, and
        `discriminator` also takes labels (N,).
        """
        latent_dim: Any = generator.latent_dim
        conditional = bool(num_classes_of(generator))

        fake_labels = None if self.labels is None else self.labels[torch.arange(LOOKED_AT) % len(self.labels)]
        noise = torch.randn(LOOKED_AT, latent_dim, generator=torch.Generator().manual_seed(0))
        labels = None if fake_labels is None else fake_labels.to(device)
        fake = call(generator, noise.to(device), labels).float()  # (N, C, H, W)
        diversity = self._spread(fake.cpu()) / max(self.reference, 1e-12)
        if discriminator is None:
            return Signs(diversity, None, None)

        def logits(images: Tensor, labels: Tensor | None) -> Tensor:
            arguments = (labels.to(device),) if conditional and labels is not None else ()
            return discriminator(images.to(device), *arguments).float()

        real_logits, fake_logits = logits(to_float(self.real), self.labels), logits(fake, fake_labels)
        saturation = float((rank(real_logits)[:, None] > rank(fake_logits)[None, :]).float().mean())
        overfitting = None
        gap = float(real_logits.mean() - fake_logits.mean())
        if self.held_out is not None and gap > 0:
            held_out_logits = logits(to_float(self.held_out), self.held_out_labels)
            overfitting = float(real_logits.mean() - held_out_logits.mean()) / gap
        return Signs(diversity, saturation, overfitting)

    def sure(self, step: int) -> bool:
        """Whether samples that are all alike at `step` mean a collapse, and not a fresh generator."""
        return self.alive or step >= GRACE

    def diagnose(self, signs: Signs, step: int, last: bool = False) -> dict[str, str]:
        """Messages about problems, by kind: "collapse", "saturation" or "overfitting".

        Only a collapse may end a run, and only if it is `sure`. At the `last` step it is always reported,
        because such a model is useless.
        """
        self.alive = self.alive or signs.diversity >= ALIVE
        problems = {}
        if signs.diversity < COLLAPSED and (self.sure(step) or last):
            problems["collapse"] = (
                f"the samples are only {signs.diversity:.2f} times as diverse as real images"
            )
        if signs.saturation is not None and signs.saturation >= SURE:
            problems["saturation"] = (
                f"the discriminator ranks {signs.saturation:.1%} of real and fake images correctly"
            )
        if signs.overfitting is not None and signs.overfitting > MEMORISED:
            problems["overfitting"] = (
                "the discriminator has memorised its training images: logits of held-out images are "
                f"{signs.overfitting:.0%} of the way from those of training images to those of samples"
            )
        return problems

    def _spread(self, images: Tensor) -> float:
        """Mean pairwise distance of features of images (N, C, H, W) in [-1, 1]; NaN for non-finite images."""
        if not images.isfinite().all():
            return math.nan
        return float(torch.pdist(self.features(images)).mean())
