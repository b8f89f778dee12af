"""`AdaptiveProbability`: a probability that grows while the discriminator overfits."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.registry import arguments
from gantl_zoo.training.critic import rank
from gantl_zoo.training.processes import ALONE, Processes

TARGET = 0.6  # of r = E[sign D(real)] (Karras et al. 2020, https://arxiv.org/abs/2006.06676, section 3.1)
SPEED = 500_000  # images after which p can have changed from 0 to 1
INTERVAL = 4  # steps between two updates of p


def chosen(what: str, p: float | None, target: float | None) -> tuple[float, float | None]:
    """The probability at the start and its target, None if it is fixed, from the arguments of `what`.

    Raises `UsageError` for an argument that is not from 0 to 1, or if both are given.
    """
    limits = {"p": arguments.SHARE, "target": arguments.SHARE}
    arguments.check_limits({"p": p, "target": target}, limits, what)
    if p is not None and target is not None:
        raise UsageError(f"{what}: p fixes the probability, and target adapts it: give one of them")
    return (0.0, TARGET if target is None else target) if p is None else (p, None)


class AdaptiveProbability(nn.Module):
    """The probability `p`, which grows while r = E[sign D(real)] is above `target`, and else shrinks.

    It stays as it is if `target` is None. All state is in buffers.
    """

    p: Tensor
    signs: Tensor
    seen: Tensor
    calls: Tensor
    target: float | None

    def __init__(self, p: float, target: float | None) -> None:
        super().__init__()
        self.target = target
        self.register_buffer("p", torch.tensor(float(p)))
        for name in ("signs", "seen", "calls"):  # totals since the last update of p
            self.register_buffer(name, torch.zeros(()))

    @torch.no_grad()
    def adapt(self, real_logits: Tensor, processes: Processes = ALONE) -> None:
        """Update p, every fourth time, from this process's logits (N, …) of real images."""
        if self.target is None:
            return
        logits = rank(real_logits)  # (N,): one per image, also for discriminators of patches
        signs = logits.sign().sum()
        signs, seen = processes.total(torch.stack([signs, torch.full_like(signs, len(logits))]))
        self.signs += signs
        self.seen += seen
        self.calls += 1
        due = (self.calls >= INTERVAL).float()
        surplus = (self.signs / self.seen - self.target).sign()
        self.p.copy_((self.p + due * surplus * self.seen / SPEED).clamp(0, 1))
        for total in (self.signs, self.seen, self.calls):
            total *= 1 - due
