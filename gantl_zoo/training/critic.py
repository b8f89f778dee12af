"""`Critic`: the discriminator as losses and regularizers call it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from gantl_zoo.training.processes import ALONE, Processes
from gantl_zoo.training.second_derivatives import SecondDerivatives


@dataclass
class Critic:
    """Maps images (N, C, H, W) to logits, with augmentation, labels and the strategy's `discriminate`.

    Several batches are passed in one if `together`. With BatchNorm they must not be, because the statistics
    of a mixed batch differ. `real_logits` and `fake_logits` are the latest ones of `both`. In the generator's
    loss `adjust` changes the logits of the images `fake`.
    """

    look: Callable[[Tensor], Tensor]
    together: bool = True
    processes: Processes = ALONE
    real_logits: Tensor | None = None
    fake_logits: Tensor | None = None
    fake: Tensor | None = None
    adjust: Callable[[Tensor], Tensor] | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, …) in float32, or in float64 if they are computed in it."""
        return self.adjusted(images, full(self.look(images)))

    def several(self, *batches: Tensor) -> list[Tensor]:
        """The logits of each batch of images, from one call if `together`."""
        if not self.together or len(batches) == 1:
            return [self(images) for images in batches]
        logits = torch.split(full(self.look(torch.cat(batches))), [len(images) for images in batches])
        return [self.adjusted(images, own) for images, own in zip(batches, logits, strict=True)]

    def adjusted(self, images: Tensor, logits: Tensor) -> Tensor:
        """The logits of `images`, changed by `adjust` if these are the generator's."""
        return self.adjust(logits) if self.adjust is not None and images is self.fake else logits

    def both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the real and of the fake images."""
        self.real_logits, self.fake_logits = self.several(real, fake)
        return self.real_logits, self.fake_logits

    def latest(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """The logits of the latest `both`, or those of these images if the loss did not call it."""
        if self.real_logits is None or self.fake_logits is None:
            return self.both(real, fake)
        return self.real_logits, self.fake_logits

    def gradients(self, *batches: Tensor) -> tuple[Tensor, ...]:
        """The gradients ∂D/∂x (N, C, H, W) at each batch of images, differentiable, computed in float32."""
        with torch.autocast(batches[0].device.type, enabled=False):
            points = [full(images.detach().clone()).requires_grad_(True) for images in batches]
            with SecondDerivatives():
                sums = [logits.sum() for logits in self.several(*points)]
            return torch.autograd.grad(sums, points, create_graph=True)


def full(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if it is in that."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def rank(logits: Tensor) -> Tensor:
    """The mean logit of each image: (N, …) -> (N,)."""
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits
