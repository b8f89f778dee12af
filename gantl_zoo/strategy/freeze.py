"""`freeze`: the body is frozen, only the last block learns.

For a classifier this is the classical feature extraction. For a GAN the discriminator's body is frozen
by default, the far end of FreezeD (Mo et al. 2020, https://arxiv.org/abs/2002.10964, section 3).
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy, which


class Freeze(TransferStrategy):
    """Freeze all blocks but the last of the `network`: "discriminator", "generator" or "both"."""

    def __init__(self, *, network: str = "discriminator") -> None:
        self.roles = which("freeze", network)

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        return blocks(network)[-1:] if role in self.roles else blocks(network)
