"""`Guard`: counts steps that were skipped because a gradient was not finite. `not_finite`: checks weights."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from functools import partial

import torch
from torch import Tensor, nn

from gantl_zoo.training.checkpoint import frozen_backbones
from gantl_zoo.training.parts import Run, at_once
from gantl_zoo.training.processes import Processes
from gantl_zoo.training.step import Player

LARGEST = 1e15  # larger weights are finite, but mean that the run has diverged


class Guard:
    """Counts skipped steps. Undoes what they, or a failed step, changed in the statistics of `modules`."""

    def __init__(self, players: Sequence[Player], modules: Iterable[nn.Module], processes: Processes) -> None:
        self.players, self.processes = players, processes
        self.buffers = changing([*modules])
        device = players[0].failed.device
        self.skipped, self.in_a_row = torch.zeros((), device=device), torch.zeros((), device=device)
        self.rollbacks = 0
        self.updates: list[int] | None = None  # of the players when the step began; None between two steps
        self.before: list[Tensor] = []

    @property
    def slowdown(self) -> float:
        """The factor of the learning rates; each roll-back halves it."""
        return 0.5**self.rollbacks

    def begin(self) -> None:
        """A step begins."""
        self.updates, self.before = [player.updates for player in self.players], []

    def statistics(self, run: Run = at_once) -> list[Tensor]:
        """Copies of all floating-point buffers, such as BatchNorm statistics."""
        self.before = []
        if self.buffers:  # torch warns of an empty graph
            self.before = run("statistics", lambda: [buffer.clone() for buffer in self.buffers])
        return self.before

    def undo_if_skipped(self, before: list[Tensor], run: Run = at_once) -> None:
        """If the step was skipped, count it and restore the statistics `before` it.

        Otherwise average the statistics over the processes. Runs without host synchronisation.
        """
        self.processes.average(self.buffers)
        run("undo", partial(self.undo, before))
        self.updates, self.before = None, []

    @torch.no_grad()
    def undo(self, before: list[Tensor]) -> None:
        """Restore the statistics and count the step, if one of the players has failed."""
        failed = torch.stack([player.failed for player in self.players]).amax(0)
        for buffer, old in zip(self.buffers, before, strict=True):
            buffer.copy_(torch.where(failed > 0, old, buffer))
        self.skipped += failed
        self.in_a_row.copy_((self.in_a_row + 1) * failed)

    @torch.no_grad()
    def take_back(self) -> bool:
        """Undo a step that raised. Returns False if a network was updated in it, which can't be undone."""
        if self.updates != [player.updates for player in self.players]:
            return False
        for buffer, old in zip(self.buffers, self.before, strict=False):  # none before the first forward pass
            buffer.copy_(old)
        return True

    def diagnosis(self, losses: Mapping[str, float], limit: int) -> str:
        """Which value is not finite, if `limit` steps in a row were skipped; otherwise an empty string."""
        count = int(self.in_a_row)
        if count < limit:
            return ""
        broken = [name for name, value in losses.items() if not math.isfinite(value)]
        where = f"the loss of {', '.join(broken)}" if broken else "a gradient"
        return f"{where} was not finite in the last {count} steps"


def changing(modules: Sequence[nn.Module]) -> list[Tensor]:
    """The floating-point buffers that a step may change: not those of frozen backbones.

    A write, also of the same values, would let `FrozenPyramid` copy its backbone again in each step.
    """
    backbones = [backbone for module in modules for backbone in frozen_backbones(module).values()]
    frozen = {id(buffer) for backbone in backbones for buffer in backbone.buffers()}
    buffers = [buffer for module in modules for buffer in module.buffers()]
    return [b for b in buffers if b.is_floating_point() and id(b) not in frozen]


@torch.no_grad()
def not_finite(modules: Mapping[str, nn.Module]) -> str:
    """A message naming the modules with non-finite or huge values; empty if there are none."""
    broken = []
    for name, module in modules.items():
        tensors = [t for t in [*module.parameters(), *module.buffers()] if t.is_floating_point()]
        tensors = [tensor for tensor in tensors if tensor.numel()]
        # the maximum norm needs no memory and can't overflow
        largest = [n.float() for n in torch._foreach_norm(tensors, math.inf)] if tensors else []
        if largest and not (torch.stack(largest) <= LARGEST).all():  # also false for NaN
            broken.append(name)
    return f"the weights of {', '.join(broken)} are not finite, or above {LARGEST:g}" if broken else ""
