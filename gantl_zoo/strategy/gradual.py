"""`gradual`: gradual unfreezing, from the last block to the first.

The method is that of ULMFiT (Howard & Ruder 2018, https://arxiv.org/abs/1801.06146, section 3.3). It applies
to generator and discriminator, or to a classifier.
"""

from __future__ import annotations

from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import Group, Plan, TransferStrategy, roles_of, unique


class Gradual(TransferStrategy):
    """Train the last block at first, then unfreeze block by block (ULMFiT, Howard & Ruder 2018).

    Paper: https://arxiv.org/abs/1801.06146, section 3.3.

    `every`: number of steps after which one more block is unfrozen; at least 1.
    `network`: network that is unfrozen block by block: "both", "generator" or "discriminator". The other one
        is fully fine-tuned from the start. A classifier is always unfrozen block by block.
    """

    def __init__(self, *, every: int = 200, network: str = "both") -> None:
        if every < 1:
            raise UsageError(f"gradual: every must be at least 1 step, not {every}")
        self.every, self.roles = every, roles_of("gradual", network)

    def group(self, network: nn.Module, role: str) -> list[Group]:
        if role not in self.roles:
            return super().group(network, role)
        all_blocks = blocks(network)  # once, because some networks create blocks in each call
        owners = {id(p): block for block in all_blocks for p in block.parameters()}  # the last one, if shared
        groups = [
            Group(unique(p for p in block.parameters() if owners[id(p)] is block), active=False)
            for block in all_blocks
        ]
        groups = [group for group in groups if group.parameters]
        groups[-1].active = True
        return groups

    def on_step(self, step: int, plan: Plan) -> None:
        for role in self.roles:
            for i, group in enumerate(reversed(plan.groups.get(role, []))):
                group.active = i <= step // self.every
