"""Gradient penalties have the gradients of torch, in fewer operations."""

from __future__ import annotations

import contextlib
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode

import gantl_zoo as gz
from gantl_zoo.seeding import seeded
from gantl_zoo.training import critic
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.second_derivatives import SecondDerivatives

SIZE: dict[str, Any] = {"image_size": 32, "channels": 3}
DISCRIMINATORS = {
    "dcgan": SIZE | {"width": 8},
    "dcgan-examples": {"image_size": 64, "channels": 3, "width": 8},
    "r3": SIZE | {"width": 16, "group_width": 8},
    "resnet": SIZE | {"width": 8},
    "stylegan2": SIZE | {"channel_base": 256},
}


def penalty(network: nn.Module, images: Tensor) -> list[Tensor]:
    """The gradients of R1 with respect to all weights."""
    parameters = list(network.parameters())
    (gradient,) = Critic(network).gradients(images)
    gradients = torch.autograd.grad(gradient.square().sum((1, 2, 3)).mean(), parameters, allow_unused=True)
    pairs = zip(gradients, parameters, strict=True)
    return [torch.zeros_like(own) if one is None else one for one, own in pairs]


@pytest.mark.parametrize("name", DISCRIMINATORS)
def test_penalties_have_the_gradients_of_torch(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = DISCRIMINATORS[name]
    with seeded(0):
        network = gz.discriminators.build(name, **config).double().eval()
        for parameter in network.parameters():  # some begin as zeros
            nn.init.normal_(parameter, 0, 0.2)
        images = torch.randn(4, 3, config["image_size"], config["image_size"], dtype=torch.float64)
    ours = penalty(network, images)
    monkeypatch.setattr(critic, "SecondDerivatives", contextlib.nullcontext)
    for one, other in zip(ours, penalty(network, images), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-12)
    assert any(one.any() for one in ours)


class Counter(TorchDispatchMode):
    """Counts the convolutions and their gradients."""

    count = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.count += "convolution" in str(func)
        return func(*args, **(kwargs or {}))


def test_nothing_flows_back_through_a_network_of_linear_pieces() -> None:
    network = gz.discriminators.build("dcgan", image_size=32, channels=3, width=8)
    layers = sum(isinstance(module, nn.Conv2d) for module in network.modules())
    with Counter() as counter:
        penalty(network, torch.randn(2, 3, 32, 32))
    # a layer and the gradient of its inputs, then the gradients of that: of its own inputs and of the weights
    assert counter.count <= 4 * layers


@pytest.mark.parametrize(
    "function",
    [
        lambda x: functional.leaky_relu(x, 0.2),
        lambda x: functional.leaky_relu(x * 1, 0.2, inplace=True),
        lambda x: functional.leaky_relu_(x * 1),
        lambda x: functional.relu(x),
        lambda x: functional.relu(x * 1, inplace=True),
        lambda x: functional.relu_(x * 1),
        lambda x: torch.relu(x),
        lambda x: (x * 1).relu_(),
        lambda x: nn.Sequential(nn.Identity(), nn.ReLU())(x),
        lambda x: nn.LeakyReLU(0.3)(x),
    ],
)
def test_functions_of_linear_pieces_are_as_usual(function: Any) -> None:
    values = torch.tensor([-2.0, -0.0, 0.0, 3.0], requires_grad=True)
    with SecondDerivatives():
        ours = function(values)
    usual = function(values)
    assert torch.equal(ours, usual)
    pair = (torch.autograd.grad(one.sum(), values, create_graph=True)[0] for one in (ours, usual))
    ours, usual = pair
    assert torch.equal(ours, usual)
    assert not ours.requires_grad  # the second derivative is zero, so autograd keeps no graph
