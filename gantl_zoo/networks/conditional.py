"""Layers of class-conditional networks: class-conditional BatchNorm and projection.

Generators: class-conditional BatchNorm (de Vries et al. 2017, https://arxiv.org/abs/1707.00683).
Discriminators: projection (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637, equation 4).

N batch, K channels of a feature map h × w, F features, L classes. Labels (N,) are int64 from 0 to L - 1.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError


class ConditionalBatchNorm2d(nn.BatchNorm2d):
    """BatchNorm of (N, K, h, w). If class-conditional, `weight` and `bias` are (L, K): one row per class."""

    def __init__(self, channels: int, num_classes: int = 0) -> None:
        super().__init__(channels)
        self.num_classes = num_classes
        if num_classes:
            self.weight = nn.Parameter(torch.ones(num_classes, channels))
            self.bias = nn.Parameter(torch.zeros(num_classes, channels))

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        if not self.num_classes:
            return super().forward(features)
        if self.training and self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)
        mean, variance, momentum = self.running_mean, self.running_var, self.momentum or 0.0
        normed = functional.batch_norm(
            features, mean, variance, None, None, self.training, momentum, self.eps
        )
        return torch.addcmul(rows(self.bias, labels, normed), rows(self.weight, labels, normed), normed)


def rows(table: Tensor, labels: Tensor | None, like: Tensor) -> Tensor:
    """Rows (N, K, 1, 1) of a table (L, K) by label, in the dtype of the feature maps `like`."""
    assert labels is not None  # checked by `need`
    return functional.embedding(labels, table)[:, :, None, None].to(like.dtype)  # (N, K, 1, 1)


class ConditionalSequential(nn.Sequential):
    """`nn.Sequential` that passes the labels to its class-conditional norms."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        for layer in self:
            features = call_layer(layer, features, labels)
        return features


def call_layer(layer: nn.Module, features: Tensor, labels: Tensor | None) -> Tensor:
    """Call a layer. Only class-conditional norms get the labels."""
    output: Tensor = layer(features, labels) if isinstance(layer, ConditionalBatchNorm2d) else layer(features)
    return output


class Projection(nn.Embedding):
    """Projection head: one row of F weights per class. Its product with the features is added to the logit.

    If `bounded`, rows longer than 1 are scaled to length 1. This limits the slope of each class's logit, as
    spectral norm does for a linear layer. The paper applies spectral norm to the whole table instead, which
    fails for a table of zeros.
    """

    def __init__(self, num_classes: int, features: int, bounded: bool) -> None:
        super().__init__(num_classes, features)
        self.bounded = bounded

    def table(self) -> Tensor:
        """The rows (L, F) that `forward` uses: scaled to length 1 at most if `bounded`."""
        if not self.bounded:
            return self.weight
        norms: Tensor = torch.linalg.vector_norm(self.weight, dim=1, keepdim=True).clamp_min(1)  # (L, 1)
        return self.weight / norms

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """The terms (N,) that features (N, F) of images with these labels add to the logits."""
        return (functional.embedding(labels, self.table()) * features).sum(1)


def check_classes(family: str, num_classes: int) -> int:
    """Return `num_classes`; 0 means unconditional. Raises `UsageError` if it is negative."""
    if num_classes < 0:
        raise UsageError(f"{family}: num_classes must be at least 0 (0: unconditional), not {num_classes}")
    return num_classes
