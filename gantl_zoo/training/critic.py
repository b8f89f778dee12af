"""`Critic`: the discriminator as losses and regularizers call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantl_zoo.training.processes import ALONE, Processes


@dataclass
class Critic:
    """Maps images (N, C, H, W) to logits, with augmentation, labels and the strategy's `discriminate`.

    Real and fake images are passed in one batch if `together`. With BatchNorm they must not be, because the
    statistics of a mixed batch differ. `real_logits` and `fake_logits` are the latest ones of `both`.
    """

    look: Callable[[Tensor], Tensor]
    together: bool = True
    processes: Processes = ALONE
    real_logits: Tensor | None = None
    fake_logits: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, …) in float32, or in float64 if they are computed in it."""
        return full(self.look(images))

    def both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the real and of the fake images."""
        if self.together:
            logits = self(torch.cat([real, fake]))
            real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        else:
            real_logits, fake_logits = self(real), self(fake)
        self.real_logits, self.fake_logits = real_logits, fake_logits
        return real_logits, fake_logits

    def latest(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of the latest `both`, or those of these images if the loss did not call it."""
        if self.real_logits is None or self.fake_logits is None:
            return self.both(real, fake)
        return self.real_logits, self.fake_logits

    def gradients(self, *images: Tensor) -> tuple[Tensor, ...]:
        """The gradients ∂D/∂x (N, C, H, W) at each batch of images, differentiable, computed in float32.

        Several batches are passed in one call if `together`.
        """
        with torch.autocast(images[0].device.type, enabled=False):
            points = [full(batch.detach().clone()).requires_grad_(True) for batch in images]
            joined = self.together and len(points) > 1
            logits = [self(batch) for batch in ([torch.cat(points)] if joined else points)]
            total = torch.stack([one.sum() for one in logits]).sum() if len(logits) > 1 else logits[0].sum()
            return torch.autograd.grad(total, points, create_graph=True)


def full(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is in that."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def rank(logits: Tensor) -> Tensor:
    """The mean logit of each image: (N, …) -> (N,)."""
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits
