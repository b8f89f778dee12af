"""Regularizers against their formulas in float64, in a run, and those of plug-ins."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from helpers import new_trainer
from test_losses import Quadratic, pair
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.training import engine
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.combined import build_regularizer

IDENTITY = nn.Identity()


def batch_of(real: Tensor, fake: Tensor, step: int = 0) -> gz.Batch:
    return gz.Batch(step, real, torch.zeros(len(real), 2), fake, IDENTITY, IDENTITY)


def slopes(network: Quadratic, images: Tensor) -> Tensor:
    """The gradient of `Quadratic` with respect to its images, by hand: (N, F)."""
    return network.first + 2 * images.flatten(1) * network.second


@pytest.mark.parametrize("together", [True, False])
def test_r1_and_r2_are_half_gamma_times_the_squared_slope(together: bool) -> None:
    (real, fake), network = pair(), Quadratic(4)
    config = {"r1.gamma": 0.5, "r2.gamma": 3.0, "r1.every": 4, "r2.every": 2}
    both = build_regularizer("r1+r2", config)
    at_real = 0.5 / 2 * slopes(network, real).square().sum(1).mean() * 4
    at_fake = 3.0 / 2 * slopes(network, fake).square().sum(1).mean() * 2
    terms = both.discriminator(Critic(network, together), batch_of(real, fake, step=4))
    assert terms.keys() == {"r1", "r2"} and terms["r1"].dtype == torch.float64
    assert terms["r1"].item() == pytest.approx(at_real.item(), abs=1e-12)
    assert terms["r2"].item() == pytest.approx(at_fake.item(), abs=1e-12)
    assert both.discriminator(Critic(network), batch_of(real, fake, step=2)).keys() == {"r2"}
    assert both.discriminator(Critic(network), batch_of(real, fake, step=3)) == {}


def test_penalties_of_one_step_share_a_call_of_the_critic() -> None:
    (real, fake), network, calls = pair(), Quadratic(4), []

    def look(images: Tensor) -> Tensor:
        calls.append(len(images))
        result: Tensor = network(images)
        return result

    both = build_regularizer("r1+r2")
    both.discriminator(Critic(look), batch_of(real, fake))
    assert calls == [len(real) + len(fake)]
    both.discriminator(Critic(look), batch_of(real, fake, step=1))
    both.parts["r1"].gamma = both.parts["r2"].gamma = 0.0  # type: ignore[assignment]  # as a schedule does
    assert both.discriminator(Critic(look), batch_of(real, fake)) == {} and len(calls) == 1


@pytest.mark.parametrize("name", ["r1", "r2"])
def test_gradients_of_penalties_are_those_of_finite_differences(name: str) -> None:
    (real, fake), network = pair(), Quadratic(4)

    def value(first: Tensor, second: Tensor) -> Tensor:
        weights = {"first": first, "second": second}
        critic = Critic(lambda it: torch.func.functional_call(network, weights, (it,)))
        (term,) = build_regularizer(name).discriminator(critic, batch_of(real, fake)).values()
        return term

    assert torch.autograd.gradcheck(
        value, [p.detach().clone().requires_grad_() for p in network.parameters()]
    )


def test_r1_is_the_short_form_of_a_regularizer() -> None:
    assert build_regularizer(r1=0.5).parts["r1"].gamma == 0.5
    both = build_regularizer("r2+r1", {"r2.gamma": 2.0, "r1.every": 1}, r1=0.5)
    assert list(both.parts) == ["r2", "r1"] and both.parts["r1"].every == 1
    assert (both.parts["r1"].gamma, both.parts["r2"].gamma) == (0.5, 2.0)
    assert build_regularizer(r1=0.5, config={"every": 1}).parts["r1"].every == 1
    assert list(build_regularizer().parts) == ["none"]


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"regularizer": "r3"}, "unknown regularizer 'r3'"),
        ({"regularizer": "r1+"}, "unknown regularizer ''"),
        ({"regularizer": "r1+r1"}, "regularizer 'r1\\+r1' names a part twice"),
        ({"regularizer": "r2", "regularizer_config": {"gama": 1}}, "takes no argument 'gama'; did you mean"),
        ({"regularizer": "r1+r2", "regularizer_config": {"gamma": 1}}, "r1 and r2 take it; write r1.gamma="),
        ({"regularizer": "r1+r2", "regularizer_config": {"size": 1}}, "argument 'size': no part takes it"),
        ({"regularizer": "r2", "regularizer_config": {"r1.gamma": 1}}, "regularizer 'r2' has no part 'r1'"),
        ({"regularizer": "r2", "regularizer_config": {"r2.gamma": 1, "gamma": 2}}, "r2.gamma is given twice"),
        ({"regularizer_config": {"gamma": 1}}, "regularizer 'none' takes no argument 'gamma'"),
        ({"regularizer": "r2", "regularizer_config": {"gamma": -1.0}}, "r2: gamma must be 0 or more"),
        ({"regularizer": "r2", "regularizer_config": {"every": 0}}, "r2: every must be at least 1, not 0"),
        ({"r1": 0.5, "regularizer_config": {"r1.gamma": 1}}, "are both given: give one of them"),
        ({"regularizer": 3}, "regularizer must be str, not 3"),
    ],
)  # fmt: skip
def test_wrong_regularizers_are_explained(settings: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.Recipe(**settings)


def trainer_of(gan: gz.GAN, images: ImageData, **settings: Any) -> Any:
    recipe = gz.Recipe(steps=3, batch=4, precision="fp32", **settings)
    return new_trainer(gan, gz.TransferStrategy(), images, recipe, engine.choose("cpu", "fp32"))


def test_without_a_regularizer_no_image_is_passed_again(gan: gz.GAN, images: ImageData) -> None:
    trainer, seen = trainer_of(gan, images), []
    gan.discriminator.register_forward_pre_hook(lambda _, inputs: seen.append(len(inputs[0])))
    losses = trainer.step(0, torch.arange(4))
    assert sum(seen) == 3 * 4 and set(losses) == {"discriminator", "generator"}


class Small(gz.Regularizer):
    """Keeps logits small."""

    def __init__(self, *, weight: float = 0.1) -> None:
        super().__init__()
        self.weight = weight

    def discriminator(self, critic: Critic, batch: gz.Batch) -> dict[str, Tensor]:
        real, fake = critic.latest(batch.real, batch.fake)
        return {"small": self.weight * (real.square().mean() + fake.square().mean())}

    def generator(self, critic: Critic, batch: gz.Batch) -> dict[str, Tensor]:
        return {"dark": batch.fake.square().mean()}


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gz.regularizers, "_own", dict(gz.regularizers._own))


@pytest.mark.usefixtures("registered")
def test_a_regularizer_of_a_script_trains(gan: gz.GAN, images: ImageData) -> None:
    gz.regularizers.register("small")(Small)
    config = {"small.weight": 50.0}
    trainer = trainer_of(gan, images, regularizer="small+r2", regularizer_config=config, lr=0.01)
    first, *_, last = (trainer.step(step, torch.arange(4)) for step in range(9))
    assert set(first) == {"discriminator", "generator", "small", "dark", "r2"}
    assert last["small"] < first["small"] and last["dark"] < first["dark"]


@pytest.mark.usefixtures("registered")
def test_a_lost_loss_term_and_another_object_are_explained(gan: gz.GAN, images: ImageData) -> None:
    gz.regularizers.register("small")(Small)
    gz.regularizers.register("smaller")(type("Smaller", (Small,), {}))
    with pytest.raises(gz.UsageError, match="two loss terms are called 'small'"):
        trainer_of(gan, images, regularizer="small+smaller").step(0, torch.arange(4))
    gz.regularizers.register("dictionary", lambda: {"r1": 1})
    with pytest.raises(gz.PluginError, match="regularizer 'dictionary' is a dict, not a gz"):
        gz.Recipe(regularizer="dictionary")
