"""APA: fake images among the real ones, while the discriminator overfits."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor

from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.adaptive import AdaptiveProbability, chosen
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.base import Regularizer


class APA(AdaptiveProbability, Regularizer):
    """APA: fake images replace real ones, with a probability that grows while the discriminator overfits.

    Jiang et al. 2021, https://arxiv.org/abs/2111.06849. Only the discriminator's update uses the replaced
    images.

    `p`: fixed probability. By default it is 0 at the start, and adapts.
    `target`: value of E[sign D(real)] above which the probability grows; by default 0.6.
    """

    def __init__(self, *, p: float | None = None, target: float | None = None) -> None:
        super().__init__(*chosen("apa", p, target))

    def batch(self, batch: Batch) -> Batch:
        deceived = torch.rand(len(batch.real), 1, 1, 1, device=batch.real.device) < self.p
        fake = batch.fake.detach()
        if batch.labels is None:  # so that a relativistic loss compares an image with another one
            fake = fake.roll(1, 0)
        return replace(batch, real=torch.where(deceived, fake, batch.real))

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        real_logits, _ = critic.latest(batch.real, batch.fake.detach())
        self.adapt(real_logits.detach(), critic.processes)
        return {}
