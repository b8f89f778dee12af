"""The averaged generator: what sampling uses."""

from __future__ import annotations

import torch
from torch import nn

RAMP = 0.05  # early on the half-life is this share of the images seen, so that the start is forgotten


@torch.no_grad()
def update(average: nn.Module, network: nn.Module, batch: int, images: int, half_life: int) -> None:
    """Move `average` towards `network` after `batch` of `images` images (Karras et al. 2019, `ema_kimg`).

    Running statistics are averaged like the weights that they belong to; counters are copied.
    """
    span = max(min(half_life, images * RAMP), 1e-8)
    weight = 1 - 0.5 ** (batch / span)
    ours, theirs = average.state_dict(), network.state_dict()
    floats = [name for name, tensor in ours.items() if tensor.is_floating_point()]
    torch._foreach_lerp_([ours[n] for n in floats], [theirs[n] for n in floats], weight)
    for name in set(ours) - set(floats):
        ours[name].copy_(theirs[name])
