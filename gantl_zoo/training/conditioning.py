"""Training a GAN that knows classes: how labels reach networks that strategies call, and who learns them.

N batch, C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo.networks.base import call


class WithLabels:
    """A network that is called without labels and told these (N,); all else is the network's own.

    Of another number of inputs than N, each takes the label of its place, counted round and round: so real
    and fake images of the same labels can go through together.
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
    """The network as strategies meet it: itself, or, if there are labels, one that is told them."""
    return network if labels is None else WithLabels(network, labels)
