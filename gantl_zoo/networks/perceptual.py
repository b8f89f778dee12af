"""`PerceptualDistance`: how different two images look to a pretrained network, level by level.

N images, C channels, H, W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.networks.base import evaluating

AT_ONCE = 32  # images per forward pass


class PerceptualDistance:
    """A distance between images over all feature maps of a backbone. Differentiable in both images.

    At each place of a map the features are divided by their norm over the channels. The distance is the
    squared difference, summed over channels, averaged over places and added over maps. LPIPS (Zhang et al.
    2018, https://arxiv.org/abs/1801.03924, equation 1) weights the channels by human ratings; here all
    weights are 1, so the values are not those of LPIPS.
    """

    def __init__(self, backbone: Any, name: str) -> None:
        """`backbone` has `pyramid` and `channels`, as registered backbones have; `name` is its own name.

        Raises `UsageError` for a network without feature maps.
        """
        if not callable(getattr(backbone, "pyramid", None)):
            raise UsageError(f"{name} returns no feature maps, which a perceptual distance compares")
        self.backbone, self.name = evaluating(backbone), f"pd_{name}"

    def levels(self, images: Tensor) -> list[Tensor]:
        """Feature maps (N, K, h, w) of images (N, C, H, W) in [-1, 1], with norm 1 at each place.

        Grey images are repeated for a network of colour images. Raises `DataError` for other channels.
        """
        if images.shape[1] not in (1, self.backbone.channels):
            raise DataError(
                f"{self.name} takes images of {self.backbone.channels} channels, not {images.shape[1]}"
            )
        images = images.expand(-1, self.backbone.channels, -1, -1)
        return [functional.normalize(level, dim=1, eps=1e-10) for level in self.backbone.pyramid(images)]

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances (N,) between images (N, C, H, W) in [-1, 1] of the same shape."""
        if first.shape != second.shape:
            raise DataError(f"{self.name} compares images of one shape, not {first.shape} and {second.shape}")
        pairs = zip(self.levels(first), self.levels(second), strict=True)
        return torch.stack([(one - other).square().sum(1).mean((1, 2)) for one, other in pairs]).sum(0)

    def vectors(self, images: Tensor) -> Tensor:
        """Vectors (N, D) of images (N, C, H, W): the distance of two images is the squared one of theirs."""
        levels = self.levels(images)
        return torch.cat([level.flatten(1) / level[0, 0].numel() ** 0.5 for level in levels], 1)

    @torch.inference_mode()
    def spread(self, images: Tensor) -> float:
        """The mean distance between two of N images, in one pass: no pair is computed.

        Raises `DataError` for fewer than 2 images.
        """
        if len(images) < 2:
            raise DataError(f"a mean distance between images needs at least 2 images, not {len(images)}")
        return mean_squared_distance(self.vectors(part) for part in torch.split(images, AT_ONCE))


def mean_squared_distance(parts: Iterable[Tensor]) -> float:
    """The mean squared distance between two of N vectors, given in parts (n, D); NaN for fewer than 2.

    It is twice their variance, so no pair is computed.
    """
    count, squares, total = 0, 0.0, torch.zeros(())
    for part in parts:
        exact = part.double()
        count, squares, total = count + len(part), squares + float(exact.square().sum()), total + exact.sum(0)
    if count < 2:
        return math.nan
    return max(0.0, 2 * (squares - float(total.square().sum()) / count) / (count - 1))
