"""Adversarial losses against their formulas, in float64."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.losses import build_loss

COUNT = 6


class Quadratic(nn.Module):
    """A smooth discriminator of few parameters in float64: logits (N,) of images (N, C, H, W)."""

    def __init__(self, size: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(1)
        self.first = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64))
        self.second = nn.Parameter(torch.randn(size, generator=generator, dtype=torch.float64) / 2)

    def forward(self, images: Tensor) -> Tensor:
        flat = images.flatten(1)
        return (flat * self.first).sum(1) + (flat.square() * self.second).sum(1)


def pair() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    real, fake = torch.randn(2, COUNT, 1, 2, 2, generator=generator, dtype=torch.float64)
    return real, fake


def log_sigmoid(logits: Tensor) -> Tensor:
    return (1 / (1 + (-logits).exp())).log()


# For each loss: the discriminator's and the generator's loss of logits r of real images and f of fake ones.
FORMULAS: dict[str, Any] = {
    "non-saturating": (
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r, f: -log_sigmoid(f).mean(),
    ),
    "minimax": (
        lambda r, f: -log_sigmoid(r).mean() - log_sigmoid(-f).mean(),
        lambda r, f: log_sigmoid(-f).mean(),
    ),
    "hinge": (
        lambda r, f: (1 - r).clamp(min=0).mean() + (1 + f).clamp(min=0).mean(),
        lambda r, f: -f.mean(),
    ),
    "relativistic": (
        lambda r, f: -log_sigmoid(r - f).mean(),
        lambda r, f: -log_sigmoid(f - r).mean(),
    ),
    "least-squares": (
        lambda r, f: ((r - 1) ** 2).mean() / 2 + (f**2).mean() / 2,
        lambda r, f: ((f - 1) ** 2).mean() / 2,
    ),
    "wasserstein": (
        lambda r, f: f.mean() - r.mean(),
        lambda r, f: -f.mean(),
    ),
}


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("together", [True, False])
def test_losses_are_their_formulas(name: str, together: bool) -> None:
    (real, fake), network = pair(), Quadratic(4)
    loss, critic = build_loss(name), Critic(network, together)
    values = loss.discriminator(critic, real, fake), loss.generator(critic, real, fake)
    for value, formula in zip(values, FORMULAS[name], strict=True):
        assert value.dtype == torch.float64
        assert value.item() == pytest.approx(formula(network(real), network(fake)).item(), abs=1e-12)


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize("role", ["discriminator", "generator"])
def test_gradients_of_losses_are_those_of_finite_differences(name: str, role: str) -> None:
    (real, fake), network = pair(), Quadratic(4)

    def value(images: Tensor, weight: Tensor) -> Tensor:
        critic = Critic(lambda it: torch.func.functional_call(network, {"first": weight}, (it,)))
        result: Tensor = getattr(build_loss(name), role)(critic, real, images)
        return result

    inputs = fake.requires_grad_(), network.first.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(value, inputs)


def test_every_built_in_loss_has_a_formula_here() -> None:
    own = {name for name in gz.losses.names() if gz.losses.info(name).owner == "gantl_zoo"}
    assert own == set(FORMULAS)


def test_targets_of_least_squares() -> None:
    (real, fake), network = pair(), Quadratic(4)
    loss = build_loss("least-squares", {"real": 0.9, "fake": -1.0, "generator": 0.0})
    r, f = network(real), network(fake)
    expected = ((r - 0.9) ** 2).mean() / 2 + ((f + 1) ** 2).mean() / 2
    assert loss.discriminator(Critic(network), real, fake).item() == pytest.approx(expected.item())
    assert loss.generator(Critic(network), real, fake).item() == pytest.approx((f**2).mean().item() / 2)


def test_margins_of_hinge_are_drawn_for_each_logit() -> None:
    """With D = 0 the loss is the mean of both margins, which are uniform from `margin` to 1."""
    loss, images = build_loss("hinge", {"margin": 0.8}), torch.zeros(4_000, 1, 1, 1)
    torch.manual_seed(0)
    values = [loss.discriminator(Critic(lambda it: it.flatten(1).sum(1)), images, images) for _ in range(2)]
    assert values[0] != values[1] and all(
        value.item() == pytest.approx(2 * 0.9, abs=0.01) for value in values
    )
    state = torch.get_rng_state()
    build_loss("hinge").discriminator(Critic(lambda it: it.flatten(1).sum(1)), images, images)
    assert torch.equal(torch.get_rng_state(), state), "the fixed margin draws no random numbers"
    assert functional.relu(torch.tensor(0.8)) < values[0]


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("least_squares", {}, "unknown loss 'least_squares'; did you mean least-squares"),
        ("hinge", {"margins": 0.8}, "loss 'hinge' takes no argument 'margins'; did you mean margin"),
        ("hinge", {"margin": 1.5}, "hinge: margin must be from 0 to 1, not 1.5"),
        ("wasserstein", {"clip": 0.01}, "loss 'wasserstein' takes no argument 'clip'"),
        ("least-squares", {"real": "one"}, "loss 'least-squares': real must be float, not 'one'"),
    ],
)
def test_wrong_losses_are_explained(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.Recipe(loss=name, loss_config=config)
