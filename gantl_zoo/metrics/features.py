"""Features of images, from a classifier or from pixels. N images, C channels, D features, L classes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.errors import DataError

BATCH = 500
PIXEL_SIDE = 16  # pixels are compared at this size


@dataclass(frozen=True)
class ClassifierFeatures:
    """The embedding of a trained backbone, always in eval mode and float32."""

    name: str
    network: Any
    trained_on: str = ""

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8 or float in [-1, 1], to features (N, D) float64."""
        return torch.cat([self.network.embed(part).double() for part in self._parts(images)])

    @torch.inference_mode()
    def probabilities(self, images: Tensor) -> Tensor:
        """The classifier's opinion (N, L)."""
        return torch.cat([self.network(part).softmax(1) for part in self._parts(images)])

    def _parts(self, images: Tensor) -> list[Tensor]:
        if images.shape[1] != self.network.channels:
            raise DataError(
                f"extractor {self.name} sees {self.network.channels} channels, these images have "
                f"{images.shape[1]}; choose --extractor pixels or one that fits"
            )
        self.network.eval()
        return [part if part.is_floating_point() else to_float(part) for part in torch.split(images, BATCH)]


@dataclass(frozen=True)
class PixelFeatures:
    """The leading principal components of the reference images' pixels. Works for any images."""

    name: str
    mean: Tensor  # (P,)
    components: Tensor  # (P, D)

    @classmethod
    def fit(cls, reference: ImageData, dimensions: int = 64) -> PixelFeatures:
        """Components of up to 5,000 reference images."""
        pixels = shrink(reference.images[:5000])
        mean = pixels.mean(0)
        _, _, rows = torch.linalg.svd(pixels - mean, full_matrices=False)
        return cls(f"pixels-pca{min(dimensions, len(rows))}", mean, rows[:dimensions].T)

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W), uint8 or float in [-1, 1], to features (N, D) float64."""
        return (shrink(images) - self.mean) @ self.components


def shrink(images: Tensor) -> Tensor:
    """(N, C, H, W) to float64 pixels (N, C·16·16) in [-1, 1]."""
    floats = images if images.is_floating_point() else to_float(images)
    small = torch.nn.functional.interpolate(floats, size=(PIXEL_SIDE,) * 2, mode="bilinear", antialias=True)
    return small.flatten(1).double()


Extractor = ClassifierFeatures | PixelFeatures
