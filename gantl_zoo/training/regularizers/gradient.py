"""Penalties on the gradient ∂D/∂x of the logit D with respect to the images x."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor

from gantl_zoo.registry import arguments
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.base import Regularizer, merged

TINY = 1e-12  # added to squared norms
LAZY = 16  # steps (Karras et al. 2019, https://arxiv.org/abs/1912.04958, section 3.1)


class GradientPenalty(Regularizer):
    """Base class: a penalty on the gradient at some images.

    It is applied every `every` steps with `every` times the weight (lazy regularization), always in float32.
    """

    second_derivatives = True
    term = ""  # name of the loss term

    @property
    def factor(self) -> float:
        """The factor of the penalty, without that of `every`. With 0 the gradient is not computed."""
        raise NotImplementedError

    @property
    def weight_of_step(self) -> float | Tensor:
        """The factor of the penalty in a step that applies it."""
        return self.factor * self.every

    def points(self, batch: Batch) -> Tensor:
        """The images (N, C, H, W) at which the gradient is penalised."""
        raise NotImplementedError

    def penalty(self, gradient: Tensor) -> Tensor:
        """The penalty, a scalar, on a gradient (N, C, H, W)."""
        raise NotImplementedError

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        return penalties([self], critic, batch)


def penalties(parts: Iterable[GradientPenalty], critic: Critic, batch: Batch) -> dict[str, Tensor]:
    """The loss terms of all penalties that are due, from one call of the critic where possible."""
    due = [part for part in parts if part.factor > 0 and batch.step % part.every == 0]
    if not due:
        return {}
    gradients = critic.gradients(*(part.points(batch) for part in due))
    pairs = zip(due, gradients, strict=True)
    return merged(*({part.term: part.penalty(slope) * part.weight_of_step} for part, slope in pairs))


class ZeroCentred(GradientPenalty):
    """Base class of R1 and R2: the penalty γ/2 · ‖∂D/∂x‖²."""

    def __init__(self, *, gamma: float, every: int) -> None:
        super().__init__()
        limits = {"gamma": arguments.NOT_NEGATIVE, "every": arguments.AT_LEAST_ONE}
        arguments.check_limits({"gamma": gamma, "every": every}, limits, self.term)
        self.gamma, self.every = gamma, every
        self.scale = 1.0  # of gamma in this step, if the recipe has another r1 at the end
        self.moving: Tensor | None = None  # the factor of such a step, where CUDA graphs read it

    @property
    def factor(self) -> float:
        return self.gamma / 2 * self.scale

    @property
    def weight_of_step(self) -> float | Tensor:
        return super().weight_of_step if self.moving is None else self.moving

    def move(self, scale: float, device: torch.device) -> None:
        """Scale gamma from this step on."""
        self.scale = scale
        if self.moving is None:
            self.moving = torch.empty((), device=device)
        self.moving.fill_(super().weight_of_step)

    def penalty(self, gradient: Tensor) -> Tensor:
        return gradient.square().sum(dim=(1, 2, 3)).mean()


class R1(ZeroCentred):
    """The gradient penalty γ/2 · ‖∂D/∂x‖² at real images.

    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 9.

    `gamma`: weight γ. The setting `r1` is its short form.
    `every`: steps between two applications, each with `every` times the weight.
    """

    term = "r1"

    def __init__(self, *, gamma: float = 1.0, every: int = LAZY) -> None:
        super().__init__(gamma=gamma, every=every)

    def points(self, batch: Batch) -> Tensor:
        return batch.real


class R2(ZeroCentred):
    """The gradient penalty γ/2 · ‖∂D/∂x‖² at fake images.

    Mescheder et al. 2018, https://arxiv.org/abs/1801.04406, equation 10. R3GAN uses it together with R1.

    `gamma`: weight γ.
    `every`: steps between two applications, each with `every` times the weight.
    """

    term = "r2"

    def __init__(self, *, gamma: float = 1.0, every: int = LAZY) -> None:
        super().__init__(gamma=gamma, every=every)

    def points(self, batch: Batch) -> Tensor:
        return batch.fake


class Interpolated(GradientPenalty):
    """WGAN-GP: the penalty λ · (‖∂D/∂x‖ - c)² at random points between a real and a fake image.

    Gulrajani et al. 2017, https://arxiv.org/abs/1704.00028, equation 3.

    `weight`: weight λ.
    `center`: norm c of the gradient that is not penalised. 1 as in the paper; 0 pulls it to zero.
    `every`: steps between two applications, each with `every` times the weight.
    """

    term = "gradient-penalty"

    def __init__(self, *, weight: float = 10.0, center: float = 1.0, every: int = 1) -> None:
        super().__init__()
        limits = dict.fromkeys(("weight", "center"), arguments.NOT_NEGATIVE) | {
            "every": arguments.AT_LEAST_ONE
        }
        arguments.check_limits({"weight": weight, "center": center, "every": every}, limits, self.term)
        self.weight, self.center, self.every = weight, center, every

    @property
    def factor(self) -> float:
        return self.weight

    def points(self, batch: Batch) -> Tensor:
        share = torch.rand(len(batch.real), 1, 1, 1, device=batch.real.device, dtype=batch.real.dtype)
        return share * batch.real + (1 - share) * batch.fake.detach()

    def penalty(self, gradient: Tensor) -> Tensor:
        squared = gradient.square().sum(dim=(1, 2, 3))
        norm = (squared + TINY).sqrt()  # whose own gradient is finite where that of D is zero
        return (norm - self.center).square().mean()
