"""LeCam: the logits of real and fake images stay near the moving averages of each other's."""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.registry import arguments
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.processes import ALONE, Processes
from gantl_zoo.training.regularizers.base import Regularizer


class LeCam(Regularizer):
    """LeCam: λ · (E[(D(real) - a)²] + E[(D(fake) - b)²]), for training on few images.

    Here a is the moving average of the logits of fake images, and b that of real ones. Tseng et al. 2021,
    https://arxiv.org/abs/2104.03310.

    `weight`: weight λ.
    `decay`: decay rate of the moving averages. At first they are the means of all logits so far.
    """

    real: Tensor
    fake: Tensor
    updates: Tensor

    def __init__(self, *, weight: float = 0.3, decay: float = 0.99) -> None:
        super().__init__()
        limits = {"weight": arguments.NOT_NEGATIVE, "decay": arguments.BELOW_ONE}
        arguments.check_limits({"weight": weight, "decay": decay}, limits, "lecam")
        self.weight, self.decay = weight, decay
        for name in ("real", "fake", "updates"):  # the two moving averages, and the number of their updates
            self.register_buffer(name, torch.zeros(()))

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        real, fake = critic.latest(batch.real, batch.fake.detach())
        self.follow(real, fake, critic.processes)
        distance = (real - self.fake).square().mean() + (fake - self.real).square().mean()
        return {"lecam": self.weight * distance}

    @torch.no_grad()
    def follow(self, real: Tensor, fake: Tensor, processes: Processes = ALONE) -> None:
        """Update the moving averages from this process's logits (N, …) of real and of fake images."""
        means = torch.stack([real.mean(), fake.mean()])
        processes.average([means])
        self.updates += 1
        speed = (1 / self.updates).clamp(min=1 - self.decay)
        self.real += speed * (means[0] - self.real)
        self.fake += speed * (means[1] - self.fake)
