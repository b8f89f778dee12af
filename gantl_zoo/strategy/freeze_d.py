"""`freeze-d` and `freeze-g`: the first blocks of one network stay frozen.

FreezeD (Mo et al. 2020, https://arxiv.org/abs/2002.10964, section 3) freezes the discriminator's blocks next
to the image; FreezeG turns it round and freezes the generator's next to the latent.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy

ELSE = "a classifier's first blocks rest with partial or freeze"


class FreezeFirst(TransferStrategy):
    """The `first` blocks of the network `role` are frozen; None: half of them, rounded down."""

    name, role = "", ""

    def __init__(self, *, first: int | None = None) -> None:
        self.first = first

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        if role != self.role:
            return blocks(network)
        count = len(blocks(network))
        if count < 2:
            raise UsageError(f"{self.name}: {type(network).__name__} has one block, and something must learn")
        first = count // 2 if self.first is None else self.first
        if not 0 < first < count:
            raise UsageError(
                f"{self.name}: first={first} of {type(network).__name__}, which has {count} blocks; from 1 "
                f"to {count - 1} can rest"
            )
        return blocks(network)[first:]


class FreezeD(FreezeFirst):
    """The discriminator's first blocks, next to the image, are frozen."""

    name, role = "freeze-d", "discriminator"
    gans_only = f"freeze-d is for GANs; {ELSE}"


class FreezeG(FreezeFirst):
    """The generator's first blocks, next to the latent, are frozen."""

    name, role = "freeze-g", "generator"
    gans_only = f"freeze-g is for GANs; {ELSE}"
