"""`Learner`: what a run trains. The loop calls it a step at a time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.model.base import Model
from gantl_zoo.strategy.base import Plan, TransferStrategy
from gantl_zoo.training.batches import Batches
from gantl_zoo.training.checkpoint import Contents
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.guard import Guard, not_finite
from gantl_zoo.training.pace import Pace


class Learner:
    """Base class: networks that are trained by a strategy's plan, and everything that a checkpoint holds."""

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
    switches: tuple[bool, ...] | None = None  # which groups of the plan were active when it was last applied

    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """One step on `pixels` (n, C, H, W) uint8 and their labels (n,); its losses, on the device."""
        raise NotImplementedError

    def snapshot(self) -> Model:
        """The model as it would be saved now. It shares its weights with the networks in training."""
        raise NotImplementedError

    def step(self, step: int, index: Tensor) -> dict[str, Tensor]:
        """`learn` on this process's share of the images at `index`."""
        return self.learn(step, *self.batches.at(index))

    def begin(self, step: int) -> None:
        """Let the strategy change its plan, and apply a changed plan to the networks."""
        self.strategy.on_step(step, self.plan)
        if self.switches != self.plan.switches():
            self.plan.apply(self.networks)
            self.switches = self.plan.switches()

    def numbers(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """The values to log: by default the losses of the last step."""
        return {name: float(value) for name, value in losses.items()}

    def health(self) -> dict[str, float]:
        """Further values to log."""
        return {"skipped": float(self.guard.skipped)} if self.guard.skipped else {}

    @torch.no_grad()
    def sick(self) -> str:
        """Says which values are not finite; empty if all are."""
        return not_finite(self.contents.modules)

    def state(self) -> dict[str, Any]:
        """Values that a checkpoint keeps beside the tensors, for `restore`."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """The opposite of `state`."""
