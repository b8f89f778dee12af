"""Optimizers for the groups of a plan: Adam for GANs, AdamW with the one-cycle schedule for classifiers."""

from __future__ import annotations

from typing import Any

import torch

from gantl_zoo.strategy.base import Plan
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.schedule import blend

WARM_UP = 0.3  # share of the steps in which the learning rate rises
START, END = 1 / 25, 1 / 25e4  # as shares of the highest rate
SLOW, FAST = 0.95, 0.85  # Adam's beta1 at the lowest and the highest rates


def groups_of(plan: Plan, role: str, lr: float) -> list[dict[str, Any]]:
    """Parameter groups of `role` with their initial learning rates."""
    return [
        {"params": group.parameters, "initial_lr": lr * group.lr_multiplier}
        for group in plan.groups.get(role, [])
        if group.parameters
    ]


def adam(
    plan: Plan, role: str, lr: float, betas: tuple[float, float], engine: Engine
) -> torch.optim.Optimizer | None:
    """Adam for the groups of `role`; None if it has no parameters to train."""
    groups = groups_of(plan, role, lr)
    return torch.optim.Adam(groups, lr=lr, betas=betas, fused=engine.optimizer == "fused") if groups else None


def adamw(
    plan: Plan, role: str, lr: float, weight_decay: float, engine: Engine
) -> torch.optim.Optimizer | None:
    """AdamW for the groups of `role`; None if it has no parameters to train."""
    groups, fused = groups_of(plan, role, lr), engine.optimizer == "fused"
    return torch.optim.AdamW(groups, lr=lr, weight_decay=weight_decay, fused=fused) if groups else None


def one_cycle(step: int, steps: int) -> tuple[float, float]:
    """The factor of the highest learning rate, and Adam's beta1, at `step` of `steps`.

    Smith & Topin 2017, https://arxiv.org/abs/1708.07120. The values equal those of torch's `OneCycleLR` with
    its defaults, but depend only on the step.
    """
    peak, last = WARM_UP * steps - 1, steps - 1
    if step <= peak:
        return blend(START, 1, step / peak), blend(SLOW, FAST, step / peak)
    share = (step - peak) / (last - peak)
    return blend(1, END, share), blend(FAST, SLOW, share)
