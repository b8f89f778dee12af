"""`Recipe`: every number that a run depends on, besides the networks, the strategy and the data."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.training.augment import build_augment
from gantl_zoo.training.losses import build_loss

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of adversarial training. Raises `UsageError` for impossible values.

    `ema_images`: half-life of the generator's average, in images (Karras et al. 2019, `ema_kimg`);
    it grows with the run up to this, at 5 % of the images seen. `r1`: weight γ of the gradient penalty.
    `decay`: the share of the steps, at the end, over which learning rates fall linearly to zero.
    """

    steps: int = 20_000
    batch: int = 64
    seed: int = 0
    loss: str = "non-saturating"
    aug: str = "none"
    r1: float = 0.0
    lr: float = 2e-4
    discriminator_lr: float | None = None
    decay: float = 0.0
    beta1: float = 0.5
    beta2: float = 0.99
    ema_images: int = 20_000
    precision: str = "auto"
    device: str = "auto"
    log_every: int = 100
    metrics_every: int = 2_000
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        at_least_one = ("steps", "batch", "log_every", "metrics_every", "checkpoint_every")
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        build_loss(self.loss)
        build_augment(self.aug)
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if not 0 <= self.decay <= 1:
            raise UsageError(f"decay is a share of the steps, from 0 to 1, not {self.decay}")
        if self.lr <= 0 or self.r1 < 0 or self.seed < 0:
            raise UsageError(
                f"lr must be positive, r1 and seed not negative: {self.lr}, {self.r1}, {self.seed}"
            )

    def lr_factor(self, step: int) -> float:
        """What learning rates are multiplied by: 1, then falling over the last `decay` of the steps."""
        falling = self.decay * self.steps
        return min(1.0, (self.steps - step) / falling) if falling else 1.0

    @classmethod
    def from_settings(cls, settings: dict[str, Any]) -> Recipe:
        """A recipe from keyword arguments; an unknown one raises `UsageError` that lists what exists."""
        known = [field.name for field in fields(cls)]
        if unknown := sorted(set(settings) - set(known)):
            raise UsageError(f"unknown setting {', '.join(unknown)}; there are: {', '.join(known)}")
        return cls(**{k: v for k, v in settings.items() if v is not None})
