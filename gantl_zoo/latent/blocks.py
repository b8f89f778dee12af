"""The outputs of a network's blocks: recorded, changed, and compared with those of another network.

N images, K channels of a feature map h × w, Z latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.networks.base import blocks, eval_view

Change = Callable[[Tensor], Tensor]


@contextmanager
def hooked(network: Any, change: Callable[[int, Tensor], Tensor | None]) -> Iterator[Any]:
    """Yield a copy in eval mode that calls `change(block, output)` after each block.

    What it returns replaces the output, unless it is None. The copy shares its tensors with `network`.
    """
    copy: Any = eval_view(network)

    def hook(index: int) -> Any:
        return lambda module, inputs, output: change(index, output) if isinstance(output, Tensor) else None

    for index, block in enumerate(blocks(copy)):
        block.register_forward_hook(hook(index))
    yield copy


@torch.no_grad()
def block_outputs(network: Any, run: Callable[[Any], Any]) -> dict[int, Tensor]:
    """The output of each block that returns a tensor, when `run` is called with the network."""
    found: dict[int, Tensor] = {}

    def keep(index: int, output: Tensor) -> None:
        found[index] = output.detach().clone()

    with hooked(network, keep) as copy:
        run(copy)
    return found
