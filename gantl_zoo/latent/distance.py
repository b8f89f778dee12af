"""Distances between images: of pixels, and of the features of a pretrained classifier."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.networks.perceptual import PerceptualDistance
from gantl_zoo.networks.pretrained import SMALL, default_backbone, find

AUTO, MSE, PERCEPTUAL = "auto", "mse", "pd_"
AT_ONCE = 32  # images of one forward pass


@dataclass(frozen=True)
class Distance:
    """The sum of its parts: "mse", the mean squared difference of pixels in [-1, 1], and "pd_NAME"."""

    name: str
    parts: tuple[Any, ...]

    def __call__(self, first: Tensor, second: Tensor) -> Tensor:
        """Distances (N,) between images (N, C, H, W). Differentiable."""
        return torch.stack([part(first, second) for part in self.parts]).sum(0)

    @torch.no_grad()
    def measured(self, first: Tensor, second: Tensor, device: torch.device) -> Tensor:
        """Distances (N,), on the CPU, in chunks."""
        pairs = zip(torch.split(first, AT_ONCE), torch.split(second, AT_ONCE), strict=True)
        return torch.cat([self(one.to(device), other.to(device)).float().cpu() for one, other in pairs])


def mse(first: Tensor, second: Tensor) -> Tensor:
    """Mean squared differences (N,) of images (N, C, H, W)."""
    return (first.float() - second.float()).square().mean((1, 2, 3))


def distance_named(name: str, shape: tuple[int, int, int], device: torch.device) -> Distance:
    """The distance "mse", "pd_NAME" (the perceptual distance of a classifier) or "mse+pd_NAME".

    "auto" is the perceptual distance of the default classifier for images of that shape (C, H, W), or "mse"
    if it would have to be downloaded. Raises `UsageError` and what loading a classifier raises.
    """
    if name == AUTO:
        return automatic(shape, device)
    parts = name.split("+")
    for part in parts:
        if part != MSE and (not part.startswith(PERCEPTUAL) or part == PERCEPTUAL):
            raise UsageError(
                "a distance is mse, pd_NAME of a classifier, such as pd_cnn-mnist, or mse+pd_NAME, not "
                f"{name!r:.80}"
            )
    return Distance(name, tuple(mse if part == MSE else perceptual(part, device) for part in parts))


def automatic(shape: tuple[int, int, int], device: torch.device) -> Distance:
    """The perceptual distance of the default classifier, or pixels without one on this machine."""
    backbone = default_backbone(shape) if shape[0] in (1, 3) else ""
    try:
        if backbone and not backbone.startswith("timm:") and (shape[0] == 3 or shape[1] <= SMALL):
            return distance_named(f"{PERCEPTUAL}{backbone}", shape, device)
    except ZooError:  # a plug-in that is broken
        pass
    return Distance(MSE, (mse,))


def perceptual(word: str, device: torch.device) -> PerceptualDistance:
    """The perceptual distance `pd_NAME`, which changes no gradient of the classifier."""
    name = word.removeprefix(PERCEPTUAL)
    network = find(name, "distance:").load().to(device).requires_grad_(False)
    return PerceptualDistance(network, name)


def shrunk(images: Tensor, side: int) -> Tensor:
    """Images of at most `side` pixels, by the mean over areas."""
    if images.shape[-1] <= side:
        return images
    return functional.interpolate(images, size=(side, side), mode="area")
