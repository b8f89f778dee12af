"""Wrappers of networks: they pass labels, or collect the loss terms of a discriminator.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo.networks.base import call, num_classes_of


class WithLabels:
    """Wraps a network so that each call uses the fixed labels (N,).

    For more than N inputs the labels repeat, so real and fake images with the same labels can be passed in
    one batch. All other attributes are those of the network.
    """

    def __init__(self, network: Any, labels: Tensor) -> None:
        self.network, self.labels = network, labels

    def __call__(self, inputs: Tensor, labels: Tensor | None = None) -> Any:
        if labels is None:
            labels = self.labels[torch.arange(len(inputs), device=self.labels.device) % len(self.labels)]
        return call(self.network, inputs, labels)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)


def with_labels(network: Any, labels: Tensor | None) -> Any:
    """Wrap the network if there are labels, else return it unchanged."""
    return network if labels is None else WithLabels(network, labels)


class SelfSupervised:
    """Wraps a discriminator: a call is one of its `self_supervised`, whose loss terms are added to `terms`.

    `fake` is whether the images are. All other attributes are those of the discriminator.
    """

    def __init__(self, network: Any, terms: dict[str, Tensor], fake: bool = False) -> None:
        self.network, self.terms, self.kind = network, terms, {"fake": True} if fake else {}

    def __call__(self, images: Tensor, labels: Tensor | None = None) -> Any:
        given = (images, labels) if num_classes_of(self.network) else (images,)
        logits, terms = self.network.self_supervised(*given, **self.kind)
        self.terms |= terms
        return logits

    def __getattr__(self, name: str) -> Any:
        return getattr(self.network, name)
