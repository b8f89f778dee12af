"""`freeze-d` and `freeze-g`: freeze the first blocks of one network.

FreezeD (Mo et al. 2020, https://arxiv.org/abs/2002.10964, section 3) freezes the discriminator's blocks next
to the image. FreezeG is its counterpart: it freezes the generator's blocks next to the latent.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy

FOR_CLASSIFIERS = "use partial or freeze to freeze a classifier's first blocks"


class FreezeFirst(TransferStrategy):
    """Freeze the `first` blocks of the network `role`; None: half of them, rounded down."""

    name, role = "", ""

    def __init__(self, *, first: int | None = None) -> None:
        self.first = first

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        if role != self.role:
            return blocks(network)
        count = len(blocks(network))
        if count < 2:
            raise UsageError(f"{self.name}: {type(network).__name__} has one block, which can't be frozen")
        first = count // 2 if self.first is None else self.first
        if not 0 < first < count:
            raise UsageError(
                f"{self.name}: {type(network).__name__} has {count} blocks, so first must be from 1 to "
                f"{count - 1}, not {first}"
            )
        return blocks(network)[first:]


class FreezeD(FreezeFirst):
    """Freeze the discriminator's first blocks, next to the image (FreezeD, Mo et al. 2020).

    Paper: https://arxiv.org/abs/2002.10964, section 3.

    `first`: number of frozen blocks, from 1 to one less than all; None means half of them, rounded down.
    """

    name, role = "freeze-d", "discriminator"
    gans_only = f"freeze-d is for GANs; {FOR_CLASSIFIERS}"


class FreezeG(FreezeFirst):
    """Freeze the generator's first blocks, next to the latent vector.

    `first`: number of frozen blocks, from 1 to one less than all; None means half of them, rounded down.
    """

    name, role = "freeze-g", "generator"
    gans_only = f"freeze-g is for GANs; {FOR_CLASSIFIERS}"
