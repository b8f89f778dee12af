"""`HealthMonitor`: checks for collapse, saturation and overfitting, cheap enough for every few hundred steps.

- diversity: mean distance between features of pairs of samples, over that of real images; a collapsed
  generator makes one image, whatever the latent.
- saturation: how often the discriminator ranks a real image above a fake one, over all pairs (the area
  under its ROC curve, independent of the scale of its logits): 0.5 is guessing; at 1 the generator gets no
  useful gradient.
- overfitting: r = (E[D(train)] - E[D(held out)]) / (E[D(train)] - E[D(fake)]) (Karras et al. 2020,
  https://arxiv.org/abs/2006.06676, equation 1): 0 is none; at 1 held-out images get the logits of fakes.
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
from gantl_zoo.training.losses import rank

LOOKED_AT = 128  # images of each kind
ALIVE, COLLAPSED = 0.4, 0.2  # of the real images' diversity
GRACE = 2_000  # steps in which the samples of a fresh generator may be all alike
SURE = 0.995  # of the pairs are ranked correctly
MEMORISED = 0.7

ADVICE = {
    "collapse": "people lower --lr, add --r1 or --aug diffaugment, or go back (--on-collapse rollback)",
    "saturation": "people lower --discriminator-lr, or add --r1 or --aug diffaugment",
    "overfitting": "people add --aug ada or diffaugment, freeze blocks of the discriminator, or stop earlier",
}


@dataclass
class Signs:
    """The statistics of one step."""

    diversity: float
    saturation: float
    overfitting: float | None

    def as_row(self) -> dict[str, float]:
        """For `stats.jsonl`."""
        row = {"diversity": self.diversity, "saturation": self.saturation}
        return row if self.overfitting is None else row | {"overfitting": self.overfitting}


@dataclass
class HealthMonitor:
    """Compares samples with `real` training images, and these with `held_out` ones, both uint8."""

    features: Callable[[Tensor], Tensor]
    real: Tensor
    held_out: Tensor | None = None
    labels: Tensor | None = None  # of `real`, for a class-conditional generator
    held_out_labels: Tensor | None = None
    alive: bool = False  # whether the samples have ever been diverse
    reference: float = field(init=False)

    def __post_init__(self) -> None:
        if len(self.real) < 2:
            raise DataError(f"a collapse can't be measured with {len(self.real)} image")
        self.reference = self._spread(to_float(self.real))

    @torch.no_grad()
    def look(self, generator: nn.Module, discriminator: Callable[..., Tensor], device: torch.device) -> Signs:
        """Compute the signs from samples of `generator` from fixed latents. `discriminator` returns logits of
        images (N, C, H, W); if the generator is class-conditional, it also takes their labels (N,): samples
        have those of the real images in turn.
        """
        latent_dim: Any = generator.latent_dim
        conditional = bool(num_classes_of(generator))

        def logits(images: Tensor, labels: Tensor | None) -> Tensor:
            known = (labels.to(device),) if conditional and labels is not None else ()
            return discriminator(images.to(device), *known).float()

        asked = None if self.labels is None else self.labels[torch.arange(LOOKED_AT) % len(self.labels)]
        noise = torch.randn(LOOKED_AT, latent_dim, generator=torch.Generator().manual_seed(0))
        labels = None if asked is None else asked.to(device)
        fake = call(generator, noise.to(device), labels).float()  # (N, C, H, W)
        diversity = self._spread(fake.cpu()) / max(self.reference, 1e-12)
        real_logits, fake_logits = logits(to_float(self.real), self.labels), logits(fake, asked)
        saturation = float((rank(real_logits)[:, None] > rank(fake_logits)[None, :]).float().mean())
        overfitting = None
        gap = float(real_logits.mean() - fake_logits.mean())
        if self.held_out is not None and gap > 0:
            unseen = logits(to_float(self.held_out), self.held_out_labels)
            overfitting = float(real_logits.mean() - unseen.mean()) / gap
        return Signs(diversity, saturation, overfitting)

    def sure(self, step: int) -> bool:
        """Whether samples that are all alike at `step` are a collapse, and not a generator that is fresh."""
        return self.alive or step >= GRACE

    def diagnose(self, signs: Signs, step: int, last: bool = False) -> dict[str, str]:
        """What is wrong, by kind, in words; "collapse" is the only one that may end a run, if it is `sure`.
        At the `last` step of a run it is reported in any case: such a model is of no use.
        """
        self.alive = self.alive or signs.diversity >= ALIVE
        found = {}
        if signs.diversity < COLLAPSED and (self.sure(step) or last):
            found["collapse"] = f"the samples differ only {signs.diversity:.2f} times as much as real images"
        if signs.saturation >= SURE:
            found["saturation"] = f"the discriminator ranks {signs.saturation:.1%} of all pairs correctly"
        if signs.overfitting is not None and signs.overfitting > MEMORISED:
            found["overfitting"] = (
                "the discriminator has memorised its training images: it rates held-out ones "
                f"{signs.overfitting:.0%} as fake as samples"
            )
        return found

    def _spread(self, images: Tensor) -> float:
        """Mean pairwise distance of features of images (N, C, H, W) in [-1, 1]; NaN if an image holds one."""
        if not images.isfinite().all():
            return math.nan
        return float(torch.pdist(self.features(images)).mean())
