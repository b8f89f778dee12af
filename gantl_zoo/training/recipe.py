"""`Recipe`: all settings of adversarial training. Creating one imports torch; this module doesn't."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.registry import arguments

SEEDS = 1 << 31
SEED: arguments.Limit = (f"from 0 to {SEEDS - 1}", lambda value: 0 <= value < SEEDS)
COUNTS = ("steps", "batch", "accumulate", "skip_limit", "watch_every", "log_every", "checkpoint_every")
LIMITS: dict[str, arguments.Limit] = {
    **dict.fromkeys(COUNTS, arguments.AT_LEAST_ONE),
    **dict.fromkeys(("r1", "ema_images", "rollback_limit", "metrics_every"), arguments.NOT_NEGATIVE),
    **dict.fromkeys(("lr", "discriminator_lr"), arguments.POSITIVE),
    **dict.fromkeys(("beta1", "beta2"), arguments.BELOW_ONE),
    "decay": arguments.SHARE,
    "seed": SEED,
    "on_collapse": arguments.one_of("warn", "rollback", "stop"),
    "log": arguments.one_of("none", "tensorboard"),
}


# Defaults of a verb that differ from those of `Recipe`, in Python and on the command line. None: chosen for
# the images (`gantl_zoo.runs.choice`).
VERBS: dict[str, dict[str, Any]] = {
    "train": {},
    "transfer": {
        **dict.fromkeys(("steps", "batch", "loss", "aug", "r1", "lr")),
        "checkpoint_every": 1_000,
        "log_every": 50,
    },
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Settings of adversarial training. Raises `UsageError` for impossible values.

    `ema_images`: half-life of the generator's average, in images (Karras et al. 2019, `ema_kimg`);
    it grows with the run up to this, at 5 % of the images seen. `r1`: weight γ of the gradient penalty.
    `decay`: the share of the steps, at the end, over which learning rates fall linearly to zero.
    `batch` is that of all processes together, each of which takes its share in `accumulate` rounds.
    `skip_limit`: after so many skipped steps in a row (a gradient was not finite) the run goes back to its
    last checkpoint with half the learning rate, at most `rollback_limit` times; then it stops.
    `watch_every`: steps between two health checks; there are three more in the first interval and one at the
    end. `on_collapse`: what a run does if its samples have collapsed.
    `metrics_every`: steps between two measurements. With 0 they take a tenth of the run's time, so the steps
    depend on the machine's speed; set a number for a run that must keep the same step when it is repeated.
    `log`: "tensorboard" also sends statistics and metrics there.
    `engine_config`: engine settings that are not chosen automatically (`engine.choose`).
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
        # here, because the command line reads the defaults without importing torch
        from gantl_zoo.training import engine_settings
        from gantl_zoo.training.augment.build import build_augment
        from gantl_zoo.training.losses import build_loss

        arguments.check(self, LIMITS | {"precision": arguments.one_of(*engine_settings.PRECISIONS)})
        build_loss(self.loss)
        build_augment(self.aug)
        engine_settings.check(self.engine_config)
        if self.batch % self.accumulate:
            raise UsageError(f"batch {self.batch} can't be split into {self.accumulate} equal rounds")

    def lr_factor(self, step: int) -> float:
        """What learning rates are multiplied by: 1, then falling over the last `decay` of the steps."""
        falling = self.decay * self.steps
        return min(1.0, (self.steps - step) / falling) if falling else 1.0

    @classmethod
    def for_verb(cls, verb: str, **settings: Any) -> Recipe:
        """The recipe of "train" or "transfer": the verb's defaults, replaced by `settings` that are not None.
        Raises `UsageError`.
        """
        return cls(**arguments.given(VERBS[verb]) | arguments.given(settings))


def open_settings(verb: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """The settings that the verb chooses for the images, because `settings` has no value for them."""
    return frozenset(key for key, value in VERBS[verb].items() if value is None and settings.get(key) is None)
