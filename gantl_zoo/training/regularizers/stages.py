"""A regularizer for generators with an image for each stage, such as StyleGAN2.

N batch, C channels, H = W image size, h image size of a stage.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.networks.grown_blocks import resampled
from gantl_zoo.registry import arguments
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.base import Regularizer


class StageConsistency(Regularizer):
    """Stage consistency: the image of each stage is near the downsampled final image.

    λ · E[(x - d(y))²], the mean over the stages before the last, where x are the images of a stage, y the
    final images, and d averages over squares. y is the fixed target: only x gets the gradient. This is the
    generator's consistency term of CAT (Hyun et al. 2026, https://arxiv.org/abs/2605.26449), whose target is
    the final output too. The discriminators of CAT, one for each stage, are not part of it. The squared
    difference and the weight are choices made here.

    `weight`: weight λ.
    """

    stages = True

    def __init__(self, *, weight: float = 1.0) -> None:
        super().__init__()
        arguments.check_limits({"weight": weight}, {"weight": arguments.NOT_NEGATIVE}, "stage-consistency")
        self.weight = weight

    def generator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        earlier, target = batch.stages[:-1], batch.fake.detach()
        if self.weight <= 0 or not earlier:
            return {}
        terms = [(images - resampled(target, images.shape[-1])).square().mean() for images in earlier]
        return {"stage-consistency": self.weight * torch.stack(terms).mean()}
