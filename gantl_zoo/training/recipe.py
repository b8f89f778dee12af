"""`Recipe`: every number that a run depends on, besides the networks, the strategy and the data."""

from __future__ import annotations

from dataclasses import dataclass, field, fields
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.training import engine
from gantl_zoo.training.augment import build_augment
from gantl_zoo.training.losses import build_loss

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
SEEDS = 1 << 31
LOGS = ("none", "tensorboard")
ON_COLLAPSE = ("warn", "rollback", "stop")


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of adversarial training. Raises `UsageError` for impossible values.

    `ema_images`: half-life of the generator's average, in images (Karras et al. 2019, `ema_kimg`);
    it grows with the run up to this, at 5 % of the images seen. `r1`: weight γ of the gradient penalty.
    `decay`: the share of the steps, at the end, over which learning rates fall linearly to zero.
    `batch` is that of all processes together, each of which takes its share in `accumulate` rounds.
    `skip_limit`: after so many skipped steps in a row (a gradient was not finite) the run goes back to its
    last checkpoint with half the learning rate, at most `rollback_limit` times; then it stops.
    `watch_every`: steps between two looks at how steady the run is; `on_collapse`: what to do then.
    `metrics_every`: steps between two measurements; 0: as often as takes a tenth of the run's time, which
    depends on the machine's pace, so give a number to a run that shall choose the same best model again.
    `log`: "tensorboard" sends statistics and metrics there, too.
    `engine_config`: what the engine shall not choose by itself (`engine.choose`).
    """

    steps: int = 20_000
    batch: int = 64
    accumulate: int = 1
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
    engine_config: dict[str, Any] = field(default_factory=dict)
    skip_limit: int = 20
    rollback_limit: int = 3
    on_collapse: str = "warn"
    watch_every: int = 500
    log: str = "none"
    log_every: int = 100
    metrics_every: int = 0
    checkpoint_every: int = 2_000

    def __post_init__(self) -> None:
        at_least_one = (
            *("steps", "batch", "accumulate", "skip_limit"),
            *("log_every", "checkpoint_every", "watch_every"),
        )
        for name in at_least_one:
            if getattr(self, name) < 1:
                raise UsageError(f"{name.replace('_', '-')} must be at least 1, not {getattr(self, name)}")
        if self.metrics_every < 0:
            raise UsageError(f"metrics-every must be a number of steps, or 0, not {self.metrics_every}")
        build_loss(self.loss)
        build_augment(self.aug)
        engine.check(self.engine_config)
        if self.batch % self.accumulate:
            raise UsageError(f"batch {self.batch} can't be split into {self.accumulate} equal rounds")
        if self.log not in LOGS:
            raise UsageError(f"log {self.log!r} is none of {', '.join(LOGS)}")
        if self.on_collapse not in ON_COLLAPSE:
            raise UsageError(f"on-collapse {self.on_collapse!r} is none of {', '.join(ON_COLLAPSE)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r} is none of {', '.join(PRECISIONS)}")
        if not 0 <= self.decay <= 1:
            raise UsageError(f"decay is a share of the steps, from 0 to 1, not {self.decay}")
        if self.lr <= 0 or self.r1 < 0 or self.rollback_limit < 0:
            raise UsageError(
                "lr must be positive, r1 and rollback-limit not negative: "
                f"{self.lr}, {self.r1}, {self.rollback_limit}"
            )
        if not 0 <= self.seed < SEEDS:
            raise UsageError(f"seed must be from 0 to {SEEDS - 1}, not {self.seed}")

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
