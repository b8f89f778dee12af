"""For each check of networks a network that breaks it, and no other check."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn


class Layers(nn.Module):
    """A network of two blocks that passes all checks: a generator, a discriminator or a backbone."""

    num_classes = 0
    latent_dim = 8

    def __init__(self, kind: str, channels: int, num_classes: int = 4) -> None:
        super().__init__()
        self.kind, self.channels, self.image_shape = kind, channels, (channels, 8, 8)
        self.embedding_dim = 16
        if kind == "generators":
            first = nn.Sequential(nn.Linear(8, 16), nn.LeakyReLU(0.2))
            last = nn.Sequential(nn.Linear(16, channels * 64), nn.Unflatten(1, (channels, 8, 8)), nn.Tanh())
        else:
            first = nn.Sequential(nn.Conv2d(channels, 4, 3, 2), nn.LeakyReLU(0.2))
            last = nn.Sequential(nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, num_classes))
            if kind == "backbones":
                self.num_classes = num_classes
            else:
                last[2] = nn.Linear(16, 1)
                last.append(nn.Flatten(0))
        self.body = nn.Sequential(first, last)
        self.blocks: Any = [first, last]

    def pyramid(self, images: Tensor) -> list[Tensor]:
        features = self.body[0](images)
        return [features, nn.functional.avg_pool2d(features, 2)]

    def embed(self, images: Tensor) -> Tensor:
        features: Tensor = self.body[1][:2](self.body[0](images))
        return features

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        output: Tensor = self.body(inputs)
        return output


def good(kind: str, network: type[Layers] = Layers, change: Callable[[Any], object] = id) -> Any:
    """The builder of a network, which `change` changes."""
    if kind == "backbones":

        def build_backbone(*, channels: int = 1, num_classes: int = 4) -> Layers:
            found = network(kind, channels, num_classes)
            change(found)
            return found

        return build_backbone

    def build(*, channels: int = 1) -> Layers:
        found = network(kind, channels)
        change(found)
        return found

    return build


class Attributes(Layers):
    num_classes = "none"  # type: ignore[assignment]

    def __init__(self, kind: str, *sizes: int) -> None:
        super().__init__(kind, *sizes)
        self.num_classes = "none"  # type: ignore[assignment]


class WrongShape(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        output = super().forward(inputs)
        return output.mean() if self.kind == "discriminators" else output[..., :-1]


class NotFinite(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(inputs) * math.nan


class Bytes(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return 127.5 * (super().forward(inputs) + 1)


class Counting(Layers):
    calls = 0

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        self.calls += 1
        return super().forward(inputs) + self.calls * 1e-3


class CopiedAnew(Layers):
    def __deepcopy__(self, memo: Any) -> CopiedAnew:
        return type(self)(self.kind, self.channels, max(1, self.num_classes))


class Offset(Layers):
    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        self.offset = torch.rand(()) / 10  # neither a parameter nor a buffer

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(inputs) + self.offset


class Blind(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(inputs * 0)


class Together(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        output = super().forward(inputs)
        return output - output.mean(0) / 2


class Unused(Layers):
    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        self.body[0].register_parameter("spare", nn.Parameter(torch.zeros(1)))


class Idle(Layers):
    """Its third block has a parameter whose gradient is 0."""

    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        self.spare = nn.Linear(1, 1)
        self.blocks = [*self.blocks, self.spare]

    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(inputs) + 0 * self.spare(torch.ones(1, 1)).sum()


class Noisy(Layers):
    def forward(self, inputs: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(inputs) + torch.randn(1) / 10


class Mapped(Layers):
    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features: Tensor = self.body[0](noise)
        return features

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        return latents * psi / 2

    def synthesize(self, latents: Tensor) -> Tensor:
        images: Tensor = self.body[1](latents)
        return images


class Stages(Layers):
    def stage_images(self, latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        images: Tensor = self(latents)
        return [images, images[..., ::2, ::2]]


class Terms(Layers):
    def self_supervised(self, images: Tensor) -> Any:
        logits = self(images)
        return [logits, {"own": logits.mean()}]


class Upside(Layers):
    def pyramid(self, images: Tensor) -> list[Tensor]:
        return super().pyramid(images)[::-1]


class Embedding(Layers):
    def embed(self, images: Tensor) -> Tensor:
        return super().embed(images)[:, 1:]


class OneSize(Layers):
    def __init__(self, *sizes: Any) -> None:
        super().__init__(*sizes)
        self.body[1][0] = nn.AvgPool2d(7)
        self.blocks = list(self.body)


class ClassesOfItsOwn(Layers):
    def __init__(self, kind: str, channels: int, num_classes: int = 4) -> None:
        super().__init__(kind, channels, 4)


def needing_more(*, width: int, channels: int = 1) -> None:
    raise AssertionError(width)


def failing(*, channels: int = 1) -> None:
    raise RuntimeError("can't")


def classes_for(kind: str) -> Any:
    if kind == "backbones":
        return good(kind, ClassesOfItsOwn)

    def build(*, channels: int = 1, num_classes: int = 0) -> Layers:
        return Layers(kind, channels)

    return build


def one_channel(kind: str) -> Any:
    def build(*, channels: int = 1, num_classes: int = 4) -> Layers:
        return Layers(kind, 1, num_classes)

    def build_grey(*, channels: int = 1) -> Layers:
        return Layers(kind, 1)

    return build if kind == "backbones" else build_grey


def twice(network: Any) -> None:
    network.blocks = [network.body, network.body[1]]


def reverse(network: Any) -> None:
    network.blocks = network.blocks[::-1]


def outside(network: Any) -> None:
    network.blocks = network.blocks[:1]


def empty(network: Any) -> None:
    network.blocks = []


def broken(kind: str) -> dict[str, Any]:
    """For each check of a kind of networks, apart from "loads", a builder whose network breaks it."""
    found = {
        "arguments": needing_more,
        "builds": failing,
        "attributes": good(kind, Attributes),
        "blocks": good(kind, change=empty),
        "one-block": good(kind, change=twice),
        "all-in-blocks": good(kind, change=outside),
        "block-order": good(kind, change=reverse),
        "output-shape": good(kind, WrongShape),
        "output-finite": good(kind, NotFinite),
        "deterministic": good(kind, Counting),
        "copies": good(kind, CopiedAnew),
        "round-trip": good(kind, Offset),
        "input-matters": good(kind, Blind),
        "independent": good(kind, Together),
        "gradients": good(kind, Unused),
        "classes": classes_for(kind),
        "channels": one_channel(kind),
        "trains": good(kind, Idle),
    }
    own = {
        "generators": {
            "output-range": good(kind, Bytes),
            "by-seed": good(kind, Noisy),
            "mapped": good(kind, Mapped),
            "stages": good(kind, Stages),
        },
        "discriminators": {"self-supervised": good(kind, Terms)},
        "backbones": {
            "pyramid": good(kind, Upside),
            "embedding": good(kind, Embedding),
            "any-size": good(kind, OneSize),
        },
    }[kind]
    return found | own
