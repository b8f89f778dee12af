"""Training a GAN that knows classes: how labels reach networks that strategies call, and who learns them.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.gan import GAN, knows, told
from gantl_zoo.model import resting
from gantl_zoo.transfer.strategy import Plan

REMEDY = "leave the classes out (--unconditional)"


class Bound:
    """A network that is called without labels and told these (N,); all else is the network's own.

    Of another number of inputs than N, each takes the label of its place, counted round and round: so real
    and fake images of the same labels can go through together.
    """

    def __init__(self, network: Any, labels: Tensor) -> None:
        self.network, self.labels = network, labels

    def __call__(self, inputs: Tensor, labels: Tensor | None = None) -> Any:
        if labels is None:
            labels = self.labels[torch.arange(len(inputs), device=self.labels.device) % len(self.labels)]
        return told(self.network, inputs, labels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def labelled(network: Any, labels: Tensor | None) -> Any:
    """The network as strategies meet it: itself, or, if there are labels, one that is told them."""
    return network if labels is None else Bound(network, labels)


def labels_of(data: ImageData, network: Any, name: str) -> Tensor | None:
    """The labels (N,) that a generator which knows classes learns from, else None. Raises `DataError`."""
    if not knows(network):
        return None
    if data.labels is None:
        raise DataError(
            f"{name} knows {knows(network)} classes, but {data.name} has no labels: sort its images "
            f"into a folder a class, or {REMEDY}"
        )
    if len(data.classes) != knows(network):
        raise DataError(
            f"{name} knows {knows(network)} classes, but {data.name} has {len(data.classes)}; with "
            "--conditional the data says how many there are"
        )
    return data.labels


def check_classes(gan: GAN, plan: Plan, data: ImageData) -> Tensor | None:
    """The labels that a GAN will learn from by this plan, if it knows classes. Raises `DataError` for images
    without them, `UsageError` where nobody would learn or teach them.
    """
    labels = labels_of(data, gan.generator, gan.name)
    rival = gan.discriminator if plan.discriminator is None else plan.discriminator
    check_players(plan, {"generator": gan.generator, "discriminator": rival})
    return labels


def check_players(plan: Plan, networks: Mapping[str, Any]) -> None:
    """Somebody learns and somebody teaches what the generator's classes are, or `UsageError`."""
    generator, rival = networks["generator"], networks["discriminator"]
    plays = bool(plan.groups.get("discriminator"))
    if not knows(generator):
        return
    if plays and knows(rival) != knows(generator):
        raise UsageError(
            f"the generator knows {knows(generator)} classes, but its discriminator "
            f"{type(rival).__name__} knows {knows(rival)}, so nobody would teach it "
            f"them: take one that takes num_classes (dcgan, resnet), or {REMEDY}"
        )
    inputs = {"generator": torch.zeros(1, generator.latent_dim)}
    if plays:
        inputs["discriminator"] = torch.zeros(1, *generator.image_shape)
    for role, zeros in inputs.items():
        if not tells(networks[role], zeros + 0.5, plan, role):
            raise UsageError(
                f"the {role}'s classes are all alike, and by this strategy nothing of it learns that could "
                f"tell them apart: take another strategy, or {REMEDY}"
            )


def tells(network: Any, inputs: Tensor, plan: Plan, role: str) -> bool:
    """Whether the network tells two classes apart, or a parameter learns that isn't for both alike."""
    if knows(network) < 2:
        return True
    learning = [p for group in plan.groups.get(role, []) for p in group.parameters if p.requires_grad]
    if not learning:  # at rest, which somebody wanted
        return True
    inputs = inputs.to(learning[0].device)
    slopes, made = [], []
    with resting(network), torch.enable_grad():
        for label in (0, 1):
            output = network(inputs, torch.tensor([label], device=inputs.device))
            made.append(output.detach())
            slopes.append(torch.autograd.grad(output.sum(), learning, allow_unused=True))
    if not torch.equal(*made):
        return True
    alike = [
        a is b or (a is not None and b is not None and torch.equal(a, b))
        for a, b in zip(*slopes, strict=True)
    ]
    return not all(alike)
