"""`partial`: train the last n blocks and freeze the others.

In a discriminator or classifier these are the blocks farthest from the image, as in FreezeD (Mo et al. 2020,
https://arxiv.org/abs/2002.10964, section 3); in a generator, the blocks nearest to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy, check_count, roles_of


class Partial(TransferStrategy):
    """Train only the last blocks of a network and freeze the others.

    `last`: number of trained blocks, from 1 to all.
    `network`: network whose other blocks are frozen: "both", "generator" or "discriminator". The network that
        is not named is fully fine-tuned. A classifier's other blocks are always frozen.
    """

    def __init__(self, *, last: int = 2, network: str = "both") -> None:
        self.last, self.roles = last, roles_of("partial", network)

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        if role not in self.roles:
            return blocks(network)
        return blocks(network)[-check_count("partial", self.last, network) :]
