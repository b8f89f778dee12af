"""Regularizers for generators with an intermediate latent space, such as StyleGAN2's W.

N batch, L layers with an intermediate latent of their own, W size of an intermediate latent, C channels,
H = W image size.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.errors import UsageError
from gantl_zoo.registry import arguments
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic, full
from gantl_zoo.training.processes import ALONE, Processes
from gantl_zoo.training.regularizers.base import Regularizer
from gantl_zoo.training.regularizers.gradient import TINY


class PathLength(Regularizer):
    """Path length: equal steps in the intermediate latent space change the images equally.

    λ · E[(‖Jᵀy‖ - a)²], where J is the Jacobian of the images with respect to the intermediate latents, y are
    random images with a standard deviation of 1 / (image size), and a is the running mean of the norm. Karras
    et al. 2020, https://arxiv.org/abs/1912.04958, section 3.2 and appendix B. It is computed in float32.

    `weight`: weight λ.
    `decay`: weight of a new norm in the running mean. At first that is the mean of all norms so far, so the
        images of a source do not change more than in the steps after.
    `shrink`: divides the number of images, at least 1, for which it is computed.
    `every`: steps between two applications, each with `every` times the weight.
    """

    second_derivatives = True
    latent_space = True
    mean: Tensor
    updates: Tensor

    def __init__(self, *, weight: float = 2.0, decay: float = 0.01, shrink: int = 2, every: int = 4) -> None:
        super().__init__()
        values = {"weight": weight, "decay": decay, "shrink": shrink, "every": every}
        limits = {"weight": arguments.NOT_NEGATIVE, "decay": arguments.SHARE}
        limits |= dict.fromkeys(("shrink", "every"), arguments.AT_LEAST_ONE)
        arguments.check_limits(values, limits, "path-length")
        self.weight, self.decay, self.shrink, self.every = weight, decay, shrink, every
        for name in ("mean", "updates"):  # the running mean of the norm, and the number of its updates
            self.register_buffer(name, torch.zeros(()))

    def generator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        if self.weight <= 0 or batch.step % self.every:
            return {}
        with torch.autocast(batch.noise.device.type, enabled=False):
            lengths = self.lengths(batch)  # (n,)
            self.follow(lengths, critic.processes)
            return {"path-length": (lengths - self.mean).square().mean() * (self.weight * self.every)}

    def lengths(self, batch: Batch) -> Tensor:
        """The norms (n,) for new images of the batch's first n latents, differentiable."""
        count = max(1, len(batch.noise) // self.shrink)
        noise, generator = full(batch.noise[:count]), batch.generator
        labels = () if batch.labels is None else (batch.labels[:count],)
        latents: Tensor = generator.map(noise, *labels)  # type: ignore[operator]  # (n, Z) -> (n, L, W)
        if not latents.requires_grad:  # those of a frozen mapping network
            latents = latents.detach().requires_grad_()
        images: Tensor = generator.synthesize(latents)  # type: ignore[operator]  # -> (n, C, H, W)
        directions = torch.randn_like(images) / math.sqrt(images[0, 0].numel())
        (slope,) = torch.autograd.grad((images * directions).sum(), latents, create_graph=True)
        squared = slope.square().sum(-1)  # (n, L, W) -> (n, L)
        mean = squared.flatten(1).mean(1) if squared.ndim > 1 else squared  # -> (n,)
        return (mean + TINY).sqrt()  # whose own gradient is finite where all slopes are zero

    @torch.no_grad()
    def follow(self, lengths: Tensor, processes: Processes = ALONE) -> None:
        """Update the running mean from this process's norms (n,)."""
        mean = lengths.mean()
        processes.average([mean])
        self.updates += 1
        self.mean += (1 / self.updates).clamp(min=self.decay) * (mean - self.mean)


class StyleMixing(Regularizer):
    """Style mixing: the layers of an image get the styles of two latents, the second from a random layer on.

    So the generator does not learn that the styles of its layers are correlated. The generator needs an
    intermediate latent for each layer, (N, L, W). Karras et al. 2019, https://arxiv.org/abs/1812.04948,
    section 3.1.

    `probability`: share of the images with two latents.
    """

    latent_space = True

    def __init__(self, *, probability: float = 0.9) -> None:
        super().__init__()
        arguments.check_limits({"probability": probability}, {"probability": arguments.SHARE}, "style-mixing")
        self.probability = probability

    def mapped_latents(self, latents: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        if not self.probability:
            return latents
        if latents.ndim < 3 or latents.shape[1] < 2:
            raise UsageError(
                "style-mixing: the generator has no intermediate latent for each layer, (N, L, W); its "
                f"latents are {tuple(latents.shape)}: use another regularizer"
            )
        count, layers = latents.shape[:2]
        like: dict[str, Any] = {"device": latents.device}
        start = torch.randint(1, layers, (count, 1), **like)  # of the second latent's layers
        mixed = torch.rand(count, 1, **like) < self.probability
        second = mixed & (torch.arange(layers, **like) >= start)  # (N, L)
        return torch.where(second.view(count, layers, *[1] * (latents.ndim - 2)), draw(), latents)
