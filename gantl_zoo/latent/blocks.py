"""The outputs of a network's blocks: recorded, changed, and compared with those of another network.

N images, K channels of a feature map h × w, Z latent size.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.model.sampling import CHUNK
from gantl_zoo.networks.base import blocks, call, eval_view


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


def block_outputs(network: Any, inputs: Tensor, labels: Tensor | None) -> dict[int, Tensor]:
    """The outputs of each block that returns a tensor, on the CPU, for inputs as in `in_chunks`."""
    outputs: dict[int, list[Tensor]] = {}

    def keep(index: int, output: Tensor) -> None:
        outputs.setdefault(index, []).append(output.detach().float().cpu())

    with hooked(network, keep) as copy:
        in_chunks(copy, inputs, labels)
    return {index: torch.cat(parts)[: len(inputs)] for index, parts in outputs.items()}


@torch.no_grad()
def in_chunks(network: Any, inputs: Tensor, labels: Tensor | None) -> Tensor:
    """The outputs for N inputs, and labels (N,) if class-conditional; float32 on the CPU.

    They are computed on the network's device, in chunks of one size, as in `GAN.generate`: the last chunk
    repeats the first inputs.
    """
    like, chunks = next(network.parameters()), []
    for start in range(0, len(inputs), CHUNK):
        rows = torch.arange(start, start + CHUNK) % len(inputs)
        known = None if labels is None else labels[rows].to(like.device)
        chunks.append(call(network, inputs[rows].to(like.device, like.dtype), known).float().cpu())
    return torch.cat(chunks)[: len(inputs)]
