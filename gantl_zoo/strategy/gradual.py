"""`gradual`: first the last block learns, then one more every so many steps.

Gradual unfreezing of Howard & Ruder 2018 (ULMFiT, https://arxiv.org/abs/1801.06146, section 3.3), for both
players or for a classifier.
"""

from __future__ import annotations

from torch import nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import Group, Plan, TransferStrategy, unique, which


class Gradual(TransferStrategy):
    """Every `every` steps one more block of the `network`, counted from its output, begins to learn."""

    def __init__(self, *, every: int = 200, network: str = "both") -> None:
        if every < 1:
            raise UsageError(f"gradual: every={every} is no number of steps")
        self.every, self.roles = every, which("gradual", network)

    def group(self, network: nn.Module, role: str) -> list[Group]:
        if role not in self.roles:
            return super().group(network, role)
        found = blocks(network)  # once: some networks make a block anew each time
        owners = {id(p): block for block in found for p in block.parameters()}  # shared: the last
        groups = [
            Group(unique(p for p in block.parameters() if owners[id(p)] is block), active=False)
            for block in found
        ]
        groups = [group for group in groups if group.parameters]
        groups[-1].active = True
        return groups

    def on_step(self, step: int, plan: Plan) -> None:
        for role in self.roles:
            for i, group in enumerate(reversed(plan.groups.get(role, []))):
                group.active = i <= step // self.every
