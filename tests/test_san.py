"""SAN's discriminator: which gradient trains what, which networks it wraps, training."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, new_trainer
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.san import Direction
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.surgery.fit import adapt
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

WRAPPED: dict[str, dict[str, Any]] = {
    "dcgan": {"width": 4},
    "resnet": {"width": 4, "norm": "spectral"},
    "r3": {"width": 4, "blocks": 1},
    "packed": {"width": 4, "pack": 2},
    "grown": {"discriminator_config": {"discriminator_config": {"width": 4, "image_size": 14}}},
}


def build(**config: Any) -> Any:
    return gz.discriminators.build("san", **config)


def trainer(images: ImageData, discriminator: str = "san", **recipe: Any) -> Trainer:
    made = {**SMALL, "image_size": 28, "channels": 1}
    gan = gz.build_gan("dcgan", discriminator, generator_config=made, discriminator_config={"width": 4})
    settings = Recipe(**{"steps": 1, "batch": 4, "precision": "fp32", "loss": "hinge"} | recipe)
    return new_trainer(gan, build_strategy("full", {}), images, settings, engine.choose("cpu", "fp32"))


@pytest.mark.parametrize("name", WRAPPED)
def test_the_logit_is_the_product_with_a_vector_of_length_one(name: str) -> None:
    network = build(discriminator=name, **WRAPPED[name])
    nn.init.normal_(network.last.weight, 0, 7)
    network.eval()
    images = torch.rand(4, 1, 28, 28)
    features = network.inner(images)
    assert features.shape == (4, len(network.last.weight))
    bias = 0 if network.last.bias is None else nn.init.normal_(network.last.bias)
    expected = (features + bias) @ network.last.weight / network.last.weight.norm()
    torch.testing.assert_close(network(images), expected)
    assert not [m for m in network.modules() if isinstance(m, nn.Linear) and m.out_features == 1]
    assert len(network.blocks) == len(list(network.inner.blocks)) + 1


def gradients(network: Any, value: Tensor) -> dict[str, Tensor | None]:
    names, parameters = zip(*network.named_parameters(), strict=True)
    return dict(zip(names, torch.autograd.grad(value, parameters, allow_unused=True), strict=True))


def test_features_get_the_gradient_of_the_hinge_loss_and_the_vector_that_of_wasserstein() -> None:
    torch.manual_seed(4)
    network = build(width=4).double()
    for parameter in network.parameters():  # so that some logits are beyond the margin, and others not
        nn.init.normal_(parameter, 0, 0.3)
    real, fake = torch.rand(2, 5, 1, 28, 28, dtype=torch.float64) * 2 - 1
    (real_logits, of_real), (fake_logits, of_fake) = (
        network.self_supervised(real),
        network.self_supervised(fake, fake=True),
    )
    active = [(real_logits < 1).sum().item(), (fake_logits > -1).sum().item()]
    assert all(0 < count < 5 for count in active) and active[0] != active[1], active
    assert torch.equal(real_logits, network(real)) and len(of_real | of_fake) == 2
    hinge = functional.relu(1 - real_logits).mean() + functional.relu(1 + fake_logits).mean()
    found = gradients(network, hinge + sum((of_real | of_fake).values()))
    bias, weight = network.last.bias, network.last.weight
    unit = (weight / weight.norm()).detach()
    fixed = [(network.inner(images) + bias) @ unit for images in (real, fake)]
    expected = gradients(network, functional.relu(1 - fixed[0]).mean() + functional.relu(1 + fixed[1]).mean())
    assert expected.pop("last.weight") is None
    for name, gradient in expected.items():
        assert gradient is not None and gradient.any(), name
        torch.testing.assert_close(found[name], gradient)
    difference = (network.inner(fake).mean(0) - network.inner(real).mean(0)).detach()
    projected = (difference - unit * (unit @ difference)) / weight.norm().detach()
    torch.testing.assert_close(found["last.weight"], projected)


def test_the_vector_turns_to_the_difference_of_the_mean_features() -> None:
    last, (real, fake) = Direction(6, bias=True), torch.randn(2, 50, 6)
    optimizer = torch.optim.SGD(last.parameters(), 0.5)
    for _ in range(200):
        optimizer.zero_grad()
        (last.mean(fake) - last.mean(real)).backward()
        optimizer.step()
    difference = real.mean(0) - fake.mean(0)
    assert functional.cosine_similarity(last.direction(), difference, dim=0) > 0.999
    assert torch.linalg.vector_norm(last.direction()).item() == pytest.approx(1)


@pytest.mark.parametrize(
    "extra", [{}, {"regularizer": "apa+lecam", "regularizer_config": {"apa.p": 0.5}}, {"r1": 0.1}]
)
def test_a_step_trains_the_vector_by_its_own_terms_alone(extra: dict[str, Any], images: ImageData) -> None:
    running = trainer(images, **extra)
    network: Any = running.game.discriminator.network
    before, seen, gradients = copy.deepcopy(network), list[Tensor](), dict[str, Tensor | None]()
    network.inner.register_forward_pre_hook(lambda module, given: seen.append(given[0].detach().clone()))

    def keep(phase: str) -> None:
        gradient = network.last.weight.grad
        gradients[phase] = None if gradient is None else gradient.clone()

    running.strategy.on_gradients = keep  # type: ignore[method-assign]
    losses = running.step(0, torch.arange(4))
    real, fake = (before.last.mean(before.inner(images_of)) for images_of in seen[:2])
    assert losses["direction of real"].item() == pytest.approx(-real.item(), abs=1e-6)
    assert losses["direction of fake"].item() == pytest.approx(fake.item(), abs=1e-6)
    (expected,) = torch.autograd.grad(fake - real, before.last.weight)
    torch.testing.assert_close(gradients["discriminator"], expected)
    assert gradients["generator"] is None, "the generator's update adds nothing"


def test_the_grown_one_has_both_terms(images: ImageData) -> None:
    gan = trainer(images).gan
    made, _ = adapt(gan, (1, 56, 56))
    settings = Recipe(steps=1, batch=4, precision="fp32", loss="hinge", accumulate=2)
    machine = engine.choose("cpu", "fp32")
    running = new_trainer(made, build_strategy("full", {}), images.fit(56, 1), settings, machine)
    assert {"direction of real", "direction of fake"} < set(running.step(0, torch.arange(4)))
    network: Any = gz.discriminators.build("packed", discriminator="san", width=4, pack=2)
    _, terms = network.self_supervised(torch.rand(4, 1, 28, 28), fake=True)
    assert network.terms_of_fake and list(terms) == ["direction of fake"]


@pytest.mark.parametrize(
    ("config", "text"),
    [
        ({"discriminator": "fast", "image_size": 32}, "san: 'fast' does not end in one linear layer"),
        ({"discriminator": "projected"}, "san: 'projected' does not end in one linear layer"),
        ({"discriminator": "san"}, "san: 'san' does not end in one linear layer"),
        ({"num_classes": 3}, "san is unconditional: leave num_classes=3 out"),
    ],
)
def test_what_it_refuses(config: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.UsageError, match=text):
        build(**config)


def test_a_head_that_does_more_after_the_linear_layer_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    class Squared(nn.Module):
        num_classes, image_shape = 0, (1, 28, 28)

        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList([nn.Flatten(), nn.Linear(784, 1)])

        def forward(self, images: Tensor) -> Tensor:
            return self.blocks[1](self.blocks[0](images)).flatten().square()

    def squared(*, image_size: int, channels: int) -> Squared:
        return Squared()

    monkeypatch.setattr(gz.discriminators, "_own", dict(gz.discriminators._own))
    gz.discriminators.register("squared", squared)
    with pytest.raises(gz.UsageError, match="san: 'squared' does not end in one linear layer"):
        build(discriminator="squared")


def test_a_saved_model_is_the_same(photos: Path, tmp_path: Path) -> None:
    settings = TINY | {"data": photos, "image_size": 28, "channels": 1, "loss": "hinge"}
    settings["discriminator_config"] = {"width": 4, "discriminator": "resnet"}
    made = gz.train("dcgan", discriminator="san", out=tmp_path, **settings)
    assert made.folder is not None
    again, shown = gz.load_model(made.folder), made.generate(5)
    assert torch.equal(again.discriminator(shown), made.discriminator(shown))
    assert '"direction of real"' in (made.folder.parent / "stats.jsonl").read_text()
