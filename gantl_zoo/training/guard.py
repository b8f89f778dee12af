"""`Guard`: steps that were skipped since a gradient was not finite, and weights that are not finite."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from torch import Tensor, nn

from gantl_zoo.training.processes import Processes
from gantl_zoo.training.step import Player

LARGEST = 1e15  # of a weight: a run that gets there has diverged, though its numbers are finite


class Guard:
    """Counts skipped steps, and undoes what they did to the running statistics of `modules`."""

    def __init__(self, players: Sequence[Player], modules: Iterable[nn.Module], processes: Processes) -> None:
        self.players, self.processes = players, processes
        self.buffers = [b for module in modules for b in module.buffers() if b.is_floating_point()]
        device = players[0].failed.device
        self.skipped, self.in_a_row = torch.zeros((), device=device), torch.zeros((), device=device)
        self.rollbacks = 0

    @property
    def slowdown(self) -> float:
        """What learning rates are multiplied by: half of them after each roll-back."""
        return 0.5**self.rollbacks

    def statistics(self) -> list[Tensor]:
        """A copy of all running statistics."""
        return [buffer.clone() for buffer in self.buffers]

    @torch.no_grad()
    def undo_if_skipped(self, before: list[Tensor]) -> None:
        """Count a skipped step and return to the statistics `before` it; average these over the processes
        otherwise. The device decides, unasked.
        """
        self.processes.average(self.buffers)
        failed = torch.stack([player.failed for player in self.players]).amax(0)
        for buffer, old in zip(self.buffers, before, strict=True):
            buffer.copy_(torch.where(failed > 0, old, buffer))
        self.skipped += failed
        self.in_a_row.copy_((self.in_a_row + 1) * failed)

    def diagnosis(self, losses: Mapping[str, float], limit: int) -> str:
        """What is wrong if `limit` steps in a row were skipped, or else nothing."""
        count = int(self.in_a_row)
        if count < limit:
            return ""
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        where = f"the loss of {', '.join(broken)}" if broken else "a gradient"
        return f"{where} was not finite in the last {count} steps"


@torch.no_grad()
def not_finite(modules: Mapping[str, nn.Module]) -> str:
    """Which modules have weights or statistics that are not finite, in words; nothing if all are sound."""
    broken = []
    for name, module in modules.items():
        tensors = [t for t in [*module.parameters(), *module.buffers()] if t.is_floating_point()]
        tensors = [tensor for tensor in tensors if tensor.numel()]
        # the largest number: it takes no memory, and no square overflows
        largest = [n.float() for n in torch._foreach_norm(tensors, math.inf)] if tensors else []
        if largest and not (torch.stack(largest) <= LARGEST).all():  # false for NaN, too
            broken.append(name)
    return f"the weights of {', '.join(broken)} are not finite, or beyond {LARGEST:g}" if broken else ""
