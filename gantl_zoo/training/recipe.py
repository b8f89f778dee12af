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


# Defaults of a verb that differ from those of `Recipe`. None means that the verb chooses a value for the
# images (`gantl_zoo.runs.choice`).
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

    `steps`: number of training steps. A step updates the discriminator and the generator once.
    `batch`: number of images per step, summed over all processes.
    `accumulate`: number of equal parts in which a batch is computed. More parts need less memory.
    `seed`: seed of the initial weights, of the order of the images and of all other random numbers.
    `loss`: adversarial loss: hinge, least-squares, minimax, non-saturating, relativistic, wasserstein, or one
    of a plug-in.
    `loss_config`: arguments of the loss, such as margin=0.8.
    `aug`: augmentation of the images that the discriminator gets: none, diffaugment, ada, or one of a
    plug-in.
    `aug_config`: arguments of the augmentation, such as p=0.3.
    `r1`: weight γ of the gradient penalty on real images (Mescheder et al. 2018). 0 turns it off.
    `regularizer`: further regularization: none, r2, or several joined by +. gantl-zoo list --kind
    regularizers shows all.
    `regularizer_config`: arguments of the regularizers, such as gamma=0.5, or r2.gamma=0.5 if several take
    it.
    `lr`: learning rate of both networks.
    `discriminator_lr`: learning rate of the discriminator, if it is not that of the generator.
    `decay`: fraction of the steps, at the end, over which learning rates fall linearly to zero.
    `final`: values of settings at the end of the run: lr, beta2, r1, ema_images or aug_p, such as lr=5e-5.
    They move there along half a cosine.
    `beta1`: decay rate of Adam's running average of gradients.
    `beta2`: decay rate of Adam's running average of squared gradients.
    `ema_images`: half-life of the generator's moving average, in images (Karras et al. 2019, `ema_kimg`).
    Early in a run it is 5% of the images processed so far.
    `precision`: number format of the computation: auto, fp32, bf16 or fp16. auto is bf16 if the processor
    multiplies it in hardware.
    `device`: where to train: auto, cpu, cuda, cuda:1 or mps. auto is a GPU if there is one.
    `engine_config`: settings of the engine that are otherwise chosen automatically: allocator,
    batchnorm, compile, graphs, memory_format, optimizer, threads, workers.
    `skip_limit`: number of consecutive skipped steps (gradients were not finite) after which the run rolls
    back to its last checkpoint with half the learning rate.
    `rollback_limit`: number of roll-backs after which a run stops.
    `on_collapse`: what a run does if its samples have collapsed: warn, rollback or stop.
    `watch_every`: steps between two health checks. There are three more checks in the first interval, and one
    at the end.
    `log`: where statistics and metrics are written besides the run's own files: none or tensorboard.
    `log_every`: steps between two lines of the log.
    `metrics_every`: steps between two measurements. With 0, measuring takes a tenth of the run's time, so the
    measured steps depend on the machine's speed.
    `checkpoint_every`: steps between two checkpoints.
    """

    steps: int = 20_000
    batch: int = 64
    accumulate: int = 1
    seed: int = 0
    loss: str = "non-saturating"
    loss_config: dict[str, Any] = field(default_factory=dict)
    aug: str = "none"
    aug_config: dict[str, Any] = field(default_factory=dict)
    r1: float = 0.0
    regularizer: str = "none"
    regularizer_config: dict[str, Any] = field(default_factory=dict)
    lr: float = 2e-4
    discriminator_lr: float | None = None
    decay: float = 0.0
    final: dict[str, float] = field(default_factory=dict)
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
        # imported here, because the command line reads the defaults without importing torch
        from gantl_zoo.training import engine_settings
        from gantl_zoo.training.augment.build import build_augment
        from gantl_zoo.training.losses import build_loss
        from gantl_zoo.training.regularizers.combined import build_regularizer
        from gantl_zoo.training.schedule import check_final

        arguments.check(self, LIMITS | {"precision": arguments.one_of(*engine_settings.PRECISIONS)})
        build_loss(self.loss, self.loss_config)
        augment = build_augment(self.aug, self.aug_config)
        build_regularizer(self.regularizer, self.regularizer_config, self.r1)
        engine_settings.check(self.engine_config)
        check_final(self, augment)
        if self.batch % self.accumulate:
            raise UsageError(f"batch {self.batch} can't be split into {self.accumulate} equal rounds")

    def lr_factor(self, step: int) -> float:
        """The factor of the learning rates: 1, then falling to 0 over the last `decay` of the steps."""
        falling = self.decay * self.steps
        return min(1.0, (self.steps - step) / falling) if falling else 1.0

    @classmethod
    def for_verb(cls, verb: str, **settings: Any) -> Recipe:
        """The recipe of "train" or "transfer": the verb's defaults, replaced by `settings` that are not None.
        Raises `UsageError`.
        """
        return cls(**arguments.given(VERBS[verb]) | arguments.given(settings))


def open_settings(verb: str, settings: Mapping[str, Any]) -> frozenset[str]:
    """The settings without a value in `settings`, which the verb therefore chooses for the images."""
    return frozenset(key for key, value in VERBS[verb].items() if value is None and settings.get(key) is None)
