"""`partial`: the last n blocks learn, those before them are frozen.

Of a discriminator or classifier these are the blocks farthest from the image, as in FreezeD (Mo et al.
2020, https://arxiv.org/abs/2002.10964, section 3); of a generator those nearest to it.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy, check_count, which


class Partial(TransferStrategy):
    """The last `last` blocks of the `network` ("discriminator", "generator" or "both") learn."""

    def __init__(self, *, last: int = 2, network: str = "both") -> None:
        self.last, self.roles = last, which("partial", network)

    def learns(self, network: nn.Module, role: str) -> Sequence[nn.Module]:
        if role not in self.roles:
            return blocks(network)
        return blocks(network)[-check_count("partial", self.last, network) :]
