"""Consistency: images or latents that differ little have similar logits."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo.registry import arguments
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.augment.diffaugment import shift
from gantl_zoo.training.augment.sampling import REPLICATED
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.base import Regularizer

LIMITS = dict.fromkeys(("real", "fake", "weight", "diversity", "deviation"), arguments.NOT_NEGATIVE)
LIMITS |= {"shift": ("from 0 to 0.5", lambda value: 0 <= value <= 0.5), "every": arguments.AT_LEAST_ONE}


def checked(what: str, values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of the regularizer `what`. Raises `UsageError` for one that is outside its limits."""
    arguments.check_limits(values, {key: LIMITS[key] for key in values if key in LIMITS}, what)
    return values


class Consistency(Regularizer):
    """Balanced consistency: an image and its shifted copy have similar logits.

    λ · E[(D(x) - D(T(x)))²], where T shifts an image and may flip it, and x is real or fake. Zhao et al.
    2021, https://arxiv.org/abs/2002.04724. With `fake=0` it is CR (Zhang et al. 2020,
    https://arxiv.org/abs/1910.12027).

    `real`: weight λ of real images.
    `fake`: weight λ of fake images.
    `shift`: largest shift, as a fraction of the side.
    `flip`: whether half of the copies are mirrored. Not for digits and letters.
    `every`: steps between two applications, each with `every` times the weight.
    """

    def __init__(
        self,
        *,
        real: float = 10.0,
        fake: float = 10.0,
        shift: float = 0.125,
        flip: bool = False,
        every: int = 1,
    ) -> None:
        super().__init__()
        checked("consistency", {"real": real, "fake": fake, "shift": shift, "every": every})
        self.weights, self.shift, self.flip, self.every = {"real": real, "fake": fake}, shift, flip, every

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        used = [name for name, weight in self.weights.items() if weight > 0]
        if not used or batch.step % self.every:
            return {}
        images = {"real": batch.real, "fake": batch.fake.detach()}
        logits = dict(zip(images, critic.latest(*images.values()), strict=True))
        moved = critic.several(*(self.move(images[name]) for name in used))
        terms = [
            self.weights[name] * self.every * (logits[name] - own).square().mean()
            for name, own in zip(used, moved, strict=True)
        ]
        return {"consistency": torch.stack(terms).sum()}

    def move(self, images: Tensor) -> Tensor:
        """Copies of the images, shifted at random and, if `flip`, half of them mirrored."""
        down, across = (round(side * self.shift) for side in images.shape[-2:])
        if down or across:
            images = shift(images, down, across, REPLICATED)
        if self.flip:
            mirrored = torch.rand(len(images), 1, 1, 1, device=images.device) < 0.5
            images = torch.where(mirrored, images.flip(3), images)
        return images


class LatentConsistency(Regularizer):
    """Latent consistency: images of near latents have similar logits, and differ from each other.

    The discriminator minimises λ · E[(D(G(z)) - D(G(z + ε)))²], the generator -μ · E[(G(z) - G(z + ε))²].
    Zhao et al. 2021, https://arxiv.org/abs/2002.04724.

    `weight`: weight λ of the discriminator's term.
    `diversity`: weight μ of the generator's term.
    `deviation`: standard deviation of ε.
    `every`: steps between two applications, each with `every` times the weight.
    """

    def __init__(
        self, *, weight: float = 5.0, diversity: float = 0.5, deviation: float = 0.05, every: int = 1
    ) -> None:
        super().__init__()
        values = {"weight": weight, "diversity": diversity, "deviation": deviation, "every": every}
        checked("latent-consistency", values)
        self.weight, self.diversity, self.deviation, self.every = weight, diversity, deviation, every

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        if self.weight <= 0 or batch.step % self.every:
            return {}
        with torch.no_grad():
            near = self.near(batch)
        _, logits = critic.latest(batch.real, batch.fake.detach())
        return {"near-logits": self.weight * self.every * (logits - critic(near)).square().mean()}

    def generator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        if self.diversity <= 0 or batch.step % self.every:
            return {}
        return {"near-images": -self.diversity * self.every * (batch.fake - self.near(batch)).square().mean()}

    def near(self, batch: Batch) -> Tensor:
        """Images (N, C, H, W) of latents near those of the batch."""
        images: Tensor = batch.generator(batch.noise + self.deviation * torch.randn_like(batch.noise))
        return images.to(batch.fake.dtype)
