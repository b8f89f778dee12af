"""Gauges of a player: the size of its gradient and of its updates, for the log."""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.training.step import Player


def gauges(player: Player) -> dict[str, float]:
    """The gradient norm of the last step, and the relative size of Adam's last update.

    The second is ‖Δw‖ / ‖w‖ over all parameters that have an optimizer state. It does not depend on the size
    of the network. Good values are about 1e-3. Empty for a player that is not trained in this step.
    """
    if not player.learns:
        return {}
    values = {f"{player.role}_gradient": float(player.gradient)}
    size = update_size(player.optimizer)
    return values if size is None else values | {f"{player.role}_update": size}


@torch.no_grad()
def update_size(optimizer: torch.optim.Optimizer | None) -> float | None:
    """‖Δw‖ / ‖w‖ of Adam's last update; None before the first one, or for another optimizer."""
    changes: list[Tensor] = []
    weights: list[Tensor] = []
    for group in optimizer.param_groups if optimizer else []:
        for parameter in group["params"]:
            state = optimizer.state.get(parameter, {}) if optimizer else {}
            if "exp_avg" not in state or not float(state["step"]):  # all its steps were skipped
                continue
            first, second = (1 - beta ** float(state["step"]) for beta in group["betas"])
            scale = (state["exp_avg_sq"] / second).sqrt_().add_(group["eps"])
            changes.append(torch.linalg.vector_norm(state["exp_avg"] / scale) * (group["lr"] / first))
            weights.append(torch.linalg.vector_norm(parameter))
    if not changes:
        return None
    return float(torch.stack(changes).norm() / torch.stack(weights).norm().clamp(min=1e-12))
