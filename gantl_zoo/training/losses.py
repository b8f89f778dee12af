"""Adversarial losses and R1. A loss has two methods: `discriminator(…)` and `generator(…)`.

A `Critic` maps images (N, C, H, W) to logits. D is the logit, G the generator, σ the logistic function, and
softplus(x) = log(1 + eˣ) = -log σ(-x).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UnknownNameError, unknown


@dataclass
class Critic:
    """The discriminator as losses call it: with augmentation, labels and the strategy's `discriminate`.

    Real and fake images are passed in one batch if `together`. With BatchNorm they must not be, because the
    statistics of a mixed batch differ. `real_logits` are the latest logits of real images, for adaptive
    augmentation.
    """

    look: Callable[[Tensor], Tensor]
    together: bool = True
    real_logits: Tensor | None = None

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, …) in float32."""
        return self.look(images).float()

    def both(self, real: Tensor, fake: Tensor) -> tuple[Tensor, Tensor]:
        """Logits of the real and of the fake images."""
        if self.together:
            logits = self(torch.cat([real, fake]))
            real_logits, fake_logits = logits[: len(real)], logits[len(real) :]
        else:
            real_logits, fake_logits = self(real), self(fake)
        self.real_logits = real_logits.detach()
        return real_logits, fake_logits


class NonSaturating:
    """Goodfellow et al. 2014 (https://arxiv.org/abs/1406.2661, section 3): G maximises log σ(D(fake))."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return functional.softplus(-critic(fake)).mean()


class Minimax(NonSaturating):
    """The article's objective, equation 1 of the same paper: G minimises log(1 - σ(D(fake)))."""

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return -functional.softplus(critic(fake)).mean()


class Hinge:
    """Lim & Ye 2017 (https://arxiv.org/abs/1705.02894, section 3)."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.relu(1 - real_logits).mean() + functional.relu(1 + fake_logits).mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return -critic(fake).mean()


class Relativistic:
    """RpGAN (Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734, section 4), as R3GAN uses it.

    Each fake image is compared with a real one, so the loss has no flat region to collapse into. Use with R1.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(fake_logits - real_logits).mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(real_logits - fake_logits).mean()


AdversarialLoss = NonSaturating | Hinge | Relativistic
LOSSES: dict[str, Callable[[], AdversarialLoss]] = {
    "hinge": Hinge,
    "minimax": Minimax,
    "non-saturating": NonSaturating,
    "relativistic": Relativistic,
}


def build_loss(name: str) -> AdversarialLoss:
    """Build the loss `name`. Raises `UnknownNameError`."""
    if name not in LOSSES:
        raise UnknownNameError(unknown("loss", name, LOSSES))
    return LOSSES[name]()


class R1:
    """The gradient penalty γ/2 · ‖∇D(real)‖².

    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 9. It is applied every `every` steps
    with `every` times the weight (lazy regularisation, Karras et al. 2019, https://arxiv.org/abs/1912.04958,
    section 3.1), always in float32.
    """

    def __init__(self, gamma: float, every: int = 16) -> None:
        self.gamma, self.every = gamma, every

    def __call__(self, critic: Critic, real: Tensor, step: int) -> dict[str, Tensor]:
        if self.gamma <= 0 or step % self.every:
            return {}
        with torch.autocast(real.device.type, enabled=False):
            real = real.detach().float().requires_grad_(True)
            (gradient,) = torch.autograd.grad(critic(real).sum(), real, create_graph=True)  # (N, C, H, W)
            penalty = gradient.square().sum(dim=(1, 2, 3)).mean()
        return {"r1": penalty * (self.gamma / 2 * self.every)}


def rank(logits: Tensor) -> Tensor:
    """The mean logit of each image: (N, …) -> (N,)."""
    return logits.flatten(1).mean(1) if logits.dim() > 1 else logits
