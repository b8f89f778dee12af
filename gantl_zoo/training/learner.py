"""`Learner`: what a run trains. The loop calls it a step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.model.base import Model
from gantl_zoo.strategy.base import Plan, TransferStrategy
from gantl_zoo.training.batches import Batches
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.guard import Guard, not_finite

EARLY = (0.1, 0.2, 0.4)  # of `watch_every`: a collapse may come before the first whole interval is over


@dataclass(frozen=True, kw_only=True)
class Pace:
    """How long a run is, and how often what happens beside its steps; see `Recipe`."""

    steps: int
    batch: int
    seed: int
    log_every: int
    checkpoint_every: int
    watch_every: int = 0  # 0: never
    on_collapse: str = "warn"
    skip_limit: int = 20
    rollback_limit: int = 3

    @classmethod
    def of(cls, recipe: Any) -> Pace:
        """The pace of a recipe that has these fields."""
        return cls(**{field.name: getattr(recipe, field.name) for field in fields(cls)})

    def logs(self, done: int) -> bool:
        """Whether statistics are logged after `done` steps."""
        return done % self.log_every == 0 or done == self.steps

    def saves(self, done: int) -> bool:
        """Whether a checkpoint is due."""
        return done % self.checkpoint_every == 0 or done == self.steps

    def watches(self, done: int) -> bool:
        """Whether the collapse watch is due: each interval, early in the first one, and at the end."""
        if not self.watch_every:
            return False
        early = done in {int(share * self.watch_every) for share in EARLY}
        return done % self.watch_every == 0 or early or done == self.steps

    def skips(self, done: int) -> int:
        """So many skipped steps in a row are too many; at the end of a short run, half of it."""
        most = self.skip_limit
        return min(most, max(2, self.steps // 2)) if done == self.steps else most


class Learner:
    """The base class: networks that a strategy's plan lets learn, and everything that a checkpoint holds."""

    advice = "try a lower --lr or --precision fp32"  # after numbers that are not finite
    pace: Pace
    recipe: Any
    engine: Engine
    plan: Plan
    strategy: TransferStrategy
    networks: dict[str, nn.Module]  # by role
    batches: Batches
    contents: Contents
    guard: Guard
    switches: tuple[bool, ...] | None = None  # which groups of the plan are written into the networks

    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """One step on `pixels` (n, C, H, W) uint8 and their labels (n,); its losses, on the device."""
        raise NotImplementedError

    def snapshot(self) -> Model:
        """The model as it would be saved now. It shares the weights that go on learning."""
        raise NotImplementedError

    def step(self, step: int, index: Tensor) -> dict[str, Tensor]:
        """`learn` on the images at `index`, of which this process takes its share."""
        return self.learn(step, *self.batches.at(index))

    def begin(self, step: int) -> None:
        """Let the strategy change its plan, and write a changed plan into the networks."""
        self.strategy.on_step(step, self.plan)
        if self.switches != self.plan.switches():
            self.plan.apply(self.networks)
            self.switches = self.plan.switches()

    def numbers(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """What is logged: by default the losses of the last step."""
        return {name: float(value) for name, value in losses.items()}

    def health(self) -> dict[str, float]:
        """What is logged beside the losses."""
        return {"skipped": float(self.guard.skipped)} if self.guard.skipped else {}

    @torch.no_grad()
    def sick(self) -> str:
        """What is not finite, in words, or nothing."""
        return not_finite(self.contents.modules)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps beside the tensors, for `restore`."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The opposite of `state`."""
