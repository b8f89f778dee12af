"""`Learner`: base class of the trainers. The loop calls it once per step."""

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
from gantl_zoo.training.parts import Parts


class Learner:
    """Base class: networks, the strategy's plan for them, and everything that a checkpoint contains."""

    advice = "try a lower --lr or --precision fp32"  # part of the error message after non-finite values
    pace: Pace
    recipe: Any
    engine: Engine
    plan: Plan
    strategy: TransferStrategy
    networks: dict[str, nn.Module]  # by role
    batches: Batches
    contents: Contents
    guard: Guard
    parts: Parts = Parts()  # computes the parts of a step
    switches: tuple[bool, ...] | None = None  # which groups of the plan were active when it was last applied

    def learn(self, step: int, pixels: Tensor, labels: Tensor | None = None) -> dict[str, Tensor]:
        """Train one step on `pixels` (n, C, H, W), uint8, and labels (n,). Returns losses on the device."""
        raise NotImplementedError

    def snapshot(self) -> Model:
        """The current model. It shares its weights with the networks in training."""
        raise NotImplementedError

    def step(self, step: int, index: Tensor) -> dict[str, Tensor]:
        """Call `learn` with this process's share of the images at `index`."""
        return self.learn(step, *self.batches.at(index))

    def begin(self, step: int) -> None:
        """Call the strategy's `on_step`, and apply the plan to the networks if it has changed."""
        self.guard.begin()
        self.strategy.on_step(step, self.plan)
        if self.switches != self.plan.switches():
            self.plan.apply(self.networks)
            self.switches = self.plan.switches()

    def numbers(self, losses: Mapping[str, Tensor]) -> dict[str, float]:
        """The values to log: by default the losses of the last step."""
        return {name: float(value) for name, value in losses.items()}

    def health(self) -> dict[str, float]:
        """Additional values to log."""
        return {"skipped": float(self.guard.skipped)} if self.guard.skipped else {}

    @torch.no_grad()
    def non_finite(self) -> str:
        """A message naming the modules with non-finite values; empty if there are none."""
        return not_finite(self.contents.modules)

    def notice(self) -> str:
        """A sentence for the log of the run, once; else an empty string."""
        return self.parts.take_notice()

    def state(self) -> dict[str, Any]:
        """JSON values for the checkpoint; see `restore`."""
        return {}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Restore the values of `state`."""
