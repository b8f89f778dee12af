"""What class-conditional networks share: norms with a scale and a shift for each class, and a projection.

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
    """BatchNorm of (N, K, h, w). With L classes `weight` and `bias` are (L, K): a row a class."""

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
    """The labels' rows of a table (L, K), for feature maps (N, K, h, w) `like` those."""
    assert labels is not None  # checked by `need`
    return functional.embedding(labels, table)[:, :, None, None].to(like.dtype)  # (N, K, 1, 1)


class ConditionalSequential(nn.Sequential):
    """Layers in a row, of which the norms are shown the labels."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        for layer in self:
            features = through(layer, features, labels)
        return features


def through(layer: nn.Module, features: Tensor, labels: Tensor | None) -> Tensor:
    """What a layer makes of features; the labels are for a norm that has rows for them."""
    made: Tensor = layer(features, labels) if isinstance(layer, ConditionalBatchNorm2d) else layer(features)
    return made


class Projection(nn.Embedding):
    """A row of F numbers for each of L classes, whose product with an image's features joins its logit.

    If `bounded`, no row is longer than 1, as spectral norm would have it of a linear layer: so the logit
    rises no faster for any class. Differs from the paper, which norms the whole table: a table that starts
    at zero has no norm to divide by.
    """

    def __init__(self, num_classes: int, features: int, bounded: bool) -> None:
        super().__init__(num_classes, features)
        self.bounded = bounded

    def table(self) -> Tensor:
        """The rows (L, F) as they count."""
        if not self.bounded:
            return self.weight
        longest: Tensor = torch.linalg.vector_norm(self.weight, dim=1, keepdim=True).clamp_min(1)  # (L, 1)
        return self.weight / longest

    def forward(self, features: Tensor, labels: Tensor) -> Tensor:  # type: ignore[override]
        """What features (N, F) of images of these classes add to the logits: (N,)."""
        return (functional.embedding(labels, self.table()) * features).sum(1)


def check_classes(family: str, num_classes: int) -> int:
    """The number of classes, 0 for none. Raises `UsageError`."""
    if num_classes < 0:
        raise UsageError(f"{family}: num_classes is a count of classes, or 0 for none, not {num_classes}")
    return num_classes
