"""Exponential moving average (EMA) of the generator, which sampling uses."""

from __future__ import annotations

import torch
from torch import nn

RAMP = 0.05  # limit of the half-life, as a share of the images so far: the average forgets the start


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, batch: int, images: int, half_life: float) -> None:
    """Move `average` towards `network` after a step of `batch` images, `images` in total.

    `half_life` is in images (Karras et al. 2019, `ema_kimg`). BatchNorm statistics are averaged like the
    weights; integer buffers are copied.
    """
    span = max(min(half_life, images * RAMP), 1e-8)
    weight = 1 - 0.5 ** (batch / span)
    averaged, current = average.state_dict(), network.state_dict()
    floats = [name for name, tensor in averaged.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([averaged[n] for n in floats], [current[n] for n in floats], weight)
    for name in set(averaged) - set(floats):
        averaged[name].copy_(current[name])
