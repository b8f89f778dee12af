"""`freeze`: freeze all blocks but the last.

For a classifier this is feature extraction (a linear probe). For a GAN it freezes the discriminator's body by
default: FreezeD (Mo et al. 2020, https://arxiv.org/abs/2002.10964, section 3) with the most frozen blocks.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy, roles_of


class Freeze(TransferStrategy):
    """Freeze all blocks of a network but the last (FreezeD, Mo et al. 2020).

    Paper: https://arxiv.org/abs/2002.10964, section 3.

    `network`: network whose blocks are frozen: "discriminator", "generator" or "both". The other one is fully
        fine-tuned. In a classifier, all blocks but the last are always frozen.
    """

    def __init__(self, *, network: str = "discriminator") -> None:
        self.roles = roles_of("freeze", network)

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        return blocks(network)[-1:] if role in self.roles else blocks(network)
