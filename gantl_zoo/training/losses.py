"""Adversarial losses. A loss has two methods: `discriminator(…)` and `generator(…)`.

D is the logit, G the generator, σ the logistic function, and softplus(x) = log(1 + eˣ) = -log σ(-x).

A script or a plug-in adds its own with `@gz.losses.register("mine")` on a class with these methods. Its
constructor takes keyword arguments that JSON can store: `gantl-zoo train … --loss mine --loss-arg KEY=VALUE`.

A loss that needs no discriminator sets `adversarial = False` and has the method `generator` only. A loss that
uses pretrained networks returns them from a method `networks(image_shape)`; image_shape is (C, H, W). Metrics
then choose the features of another network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import PluginError
from gantl_zoo.registry import arguments
from gantl_zoo.registry.builtins import losses
from gantl_zoo.seeding import seeded
from gantl_zoo.training.critic import Critic


class AdversarialLoss(Protocol):
    """What a loss has: two methods that map images (N, C, H, W) to a scalar, which is minimised."""

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...
    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor: ...


def build_loss(name: str, config: Mapping[str, Any] | None = None) -> AdversarialLoss:
    """Build the registered loss `name`. Raises `UnknownNameError`, `UsageError` or `PluginError`."""
    loss: AdversarialLoss = losses.build(name, **(config or {}))
    needed = ("discriminator", "generator") if is_adversarial(loss) else ("generator",)
    if absent := [method for method in needed if not callable(getattr(loss, method, None))]:
        raise PluginError(
            f"loss {name!r} is a {type(loss).__name__}, without the method {' and '.join(absent)}"
        )
    return loss


def is_adversarial(loss: Any) -> bool:
    """Whether a loss trains a discriminator."""
    return bool(getattr(loss, "adversarial", True))


def chance_level(loss: Any) -> float | None:
    """The discriminator's loss if all logits are 0, as if it could not tell real images from fakes.

    None if the loss trains no discriminator, or can't be computed without one.
    """
    if not is_adversarial(loss):
        return None
    real, fake = torch.zeros(2, 8, 1, 1, 1)
    critic = Critic(lambda images: (images * 0).flatten(1).sum(1))
    try:
        with seeded(0):  # a loss may draw numbers
            return float(loss.discriminator(critic, real, fake))
    except Exception:  # a loss of a plug-in may need more than logits
        return None


def networks_of(loss: Any, image_shape: tuple[int, int, int]) -> list[nn.Module]:
    """The pretrained networks that a loss uses for images (C, H, W)."""
    return list(loss.networks(image_shape)) if hasattr(loss, "networks") else []


class NonSaturating:
    """Logistic loss in which G maximises log σ(D(fake)).

    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, section 3.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(-real_logits).mean() + functional.softplus(fake_logits).mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return functional.softplus(-critic(fake)).mean()


class Minimax(NonSaturating):
    """Logistic loss in which G minimises log(1 - σ(D(fake))).

    Goodfellow et al. 2014, https://arxiv.org/abs/1406.2661, equation 1.
    """

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return -functional.softplus(critic(fake)).mean()


class Hinge:
    """Hinge loss: D is trained until its logits exceed a margin.

    Lim & Ye 2017, https://arxiv.org/abs/1705.02894, section 3.

    `margin`: smallest margin. That of each logit is drawn uniformly between it and 1; FastGAN (Liu et al.
    2021, https://arxiv.org/abs/2101.04775) uses 0.8. 1 is the fixed margin of the paper.
    """

    def __init__(self, *, margin: float = 1.0) -> None:
        arguments.check_limits({"margin": margin}, {"margin": arguments.SHARE}, "hinge")
        self.margin = margin

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        above, below = self.margins(real_logits), self.margins(fake_logits)
        return functional.relu(above - real_logits).mean() + functional.relu(below + fake_logits).mean()

    def margins(self, logits: Tensor) -> Tensor | float:
        """A margin for each logit, or the one of all."""
        return 1.0 if self.margin == 1 else self.margin + (1 - self.margin) * torch.rand_like(logits)

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return -critic(fake).mean()


class Relativistic:
    """RpGAN: each fake image is compared with a real one, so the loss has no flat region to collapse into.

    Jolicoeur-Martineau 2018, https://arxiv.org/abs/1807.00734, section 4; R3GAN uses it. Use with `r1`.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(fake_logits - real_logits).mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return functional.softplus(real_logits - fake_logits).mean()


class LeastSquares:
    """Mean squared error of the logits, which become 1 for real images and 0 for fake ones.

    Mao et al. 2017, https://arxiv.org/abs/1611.04076, equation 2 with a = 0, b = c = 1.

    `real`: target b of real images.
    `fake`: target a of fake images.
    `generator`: target c of fake images in the generator's loss.
    """

    def __init__(self, *, real: float = 1.0, fake: float = 0.0, generator: float = 1.0) -> None:
        self.real, self.fake, self.target = real, fake, generator

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return ((real_logits - self.real).square().mean() + (fake_logits - self.fake).square().mean()) / 2

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return (critic(fake) - self.target).square().mean() / 2


class Wasserstein:
    """The difference of the mean logits. Use with `gradient-penalty` or with spectral norm.

    Arjovsky et al. 2017, https://arxiv.org/abs/1701.07875, equation 3. Without a bound on the slope of D, the
    loss of D has no minimum.
    """

    def discriminator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        real_logits, fake_logits = critic.both(real, fake)
        return fake_logits.mean() - real_logits.mean()

    def generator(self, critic: Critic, real: Tensor, fake: Tensor) -> Tensor:
        return -critic(fake).mean()
