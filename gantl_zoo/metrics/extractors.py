"""Extractors: what turns images into vectors that distances compare.

All images are compared as files hold them, in 8 bits, and every network is in eval mode and float32.
N images, C, H, W image size, D features, L classes, P pixels.
"""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData, to_float, to_uint8
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.networks.base import evaluating

PIXEL_SIDE = 16  # pixels are compared at this size
FITTED, READ = 5_000, 500  # images that `pixels` is fitted to; how many of them are floats at once
WORK = 1 << 19  # input pixels that one batch holds

Looks = tuple[Tensor, Tensor | None]  # features (N, D) and, where there are any, logits (N, L); float32


class Extractor:
    """The base class: a subclass sets what describes it, and looks at one batch of images."""

    name: str  # every score carries it
    sha256: str  # of its weights, 16 hex digits: it distinguishes two extractors of one name
    convention: str  # how images reach it: size, resampling, range
    num_features: int
    side: int | None = None  # images are resized to it; None: they stay as they are
    channels: int | None = None  # of the images that it takes; None: any
    trained_on: str = ""  # the data whose classes its logits name
    num_logits = 0
    device = torch.device("cpu")  # where features are computed

    def to(self, device: torch.device) -> None:
        """Move the network, if there is one, to a device."""
        if isinstance(network := getattr(self, "network", None), torch.nn.Module):
            self.network: Any = network.to(device)
            self.device = device

    def look(self, images: Tensor) -> Looks:
        """Features and logits of images (N, C, H, W), uint8."""
        raise NotImplementedError

    def batch(self, side: int) -> int:
        """How many images of that side fit into one call."""
        return max(16, min(500, WORK // (self.side or side) ** 2))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raises `DataError` for images (C, H, W) that it does not take."""
        if self.channels not in (None, shape[0]):
            raise DataError(
                f"extractor {self.name} sees {self.channels} channels, these images have {shape[0]}; "
                "choose --extractor pixels or one that fits"
            )

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Looks:
        """Features and logits of images (N, C, H, W), uint8 or float in [-1, 1]. Raises `DataError`."""
        self.check(tuple(images.shape[1:]))
        parts = [self.look(eight_bits(part)) for part in torch.split(images, self.batch(images.shape[-1]))]
        logits = [found for _, found in parts if found is not None]
        return torch.cat([found for found, _ in parts]), torch.cat(logits) if logits else None


class ClassifierFeatures(Extractor):
    """The embedding of a trained backbone, and its opinion."""

    def __init__(self, name: str, network: Any, trained_on: str = "", *, opinion: bool = True) -> None:
        """`opinion`: whether its classifier was trained, so that its logits mean something."""
        self.name, self.network, self.trained_on = name, network, trained_on
        self.num_logits = network.num_classes if opinion else 0
        self.channels, self.num_features = network.channels, network.embedding_dim
        self.side = getattr(network, "resize", None)
        size = f"resized to {self.side}" if self.side else "at their own size"
        self.convention = f"8 bits, {size}, as floats in [-1, 1]"
        self.sha256 = digest(network.state_dict())

    def look(self, images: Tensor) -> Looks:
        network = self.network = evaluating(self.network)  # whatever the caller did, whose network stays
        floats = to_float(images).to(self.device)
        embedding = network.embed(floats)
        if not self.num_logits:
            return embedding.float(), None
        classify = getattr(network, "classify", None)  # else the whole network once more
        return embedding.float(), (classify(embedding) if classify else network(floats)).float()


class Channelwise(Extractor):
    """Each channel through a classifier of grey images, whose classes are digits of a stack's class.

    So cnn-mnist reads stacked-mnist: features (N, C·D), log-probabilities (N, Lᶜ).
    """

    def __init__(self, inner: ClassifierFeatures, channels: int) -> None:
        """Raises `UsageError` for one of colour images."""
        if inner.channels != 1:
            raise UsageError(
                f"extractor channelwise:{inner.name}: {inner.name} sees {inner.channels} channels at once; "
                "name a classifier of grey images, such as channelwise:cnn-mnist"
            )
        self.inner, self.channels, self.side = inner, channels, inner.side
        self.name, self.sha256 = f"channelwise:{inner.name}", inner.sha256
        self.convention = f"each channel {inner.convention}"
        self.num_features = channels * inner.num_features
        self.num_logits = inner.num_logits**channels
        self.trained_on = f"stacked-{inner.trained_on}"

    def to(self, device: torch.device) -> None:
        self.inner.to(device)
        self.device = self.inner.device

    def look(self, images: Tensor) -> Looks:
        count, channels = images.shape[:2]
        features, logits = self.inner.look(
            images.flatten(0, 1).unsqueeze(1)
        )  # (N, C, H, W) -> (N·C, 1, H, W)
        assert logits is not None  # of a classifier
        each = logits.log_softmax(1).view(count, channels, -1)  # (N, C, L)
        joint = each[:, 0]
        for channel in range(1, channels):
            joint = (joint[:, :, None] + each[:, None, channel]).flatten(1)  # (N, Lⁱ) -> (N, Lⁱ⁺¹)
        return features.reshape(count, -1), joint


class PixelFeatures(Extractor):
    """The leading principal components of the reference images' pixels. Works for any images."""

    convention = f"8 bits, resized to {PIXEL_SIDE} (bilinear, antialiased), as floats in [-1, 1]"

    def __init__(self, mean: Tensor, components: Tensor) -> None:
        self.mean, self.components = mean, components  # (P,), (P, D) float64
        self.num_features = components.shape[1]
        self.name = f"pixels-pca{self.num_features}"
        self.channels = len(mean) // PIXEL_SIDE**2
        self.sha256 = digest({"mean": mean, "components": components})

    @classmethod
    def fit(cls, reference: ImageData, dimensions: int = 64) -> PixelFeatures:
        """Components of up to 5,000 reference images, drawn from all: the first may be of one class."""
        few = reference.few(FITTED) if len(reference) > FITTED else reference
        starts = range(0, len(few), READ)
        pixels = torch.cat([shrink(few.images[start : start + READ]) for start in starts])
        mean = pixels.mean(0)
        _, _, rows = torch.linalg.svd(pixels - mean, full_matrices=False)
        return cls(mean, rows[:dimensions].T.contiguous())

    def look(self, images: Tensor) -> Looks:
        return ((shrink(images) - self.mean) @ self.components).float(), None


def eight_bits(images: Tensor) -> Tensor:
    """uint8 images of uint8 or float ones. Raises `DataError` for NaN, which no byte can say."""
    if not images.is_floating_point():
        return images
    if not images.isfinite().all():
        raise DataError("the samples hold NaN or infinity, so nothing can be measured: this model is broken")
    return to_uint8(images)


def shrink(images: Tensor) -> Tensor:
    """(N, C, H, W) uint8 to float64 pixels (N, C·16·16) in [-1, 1]."""
    side = (PIXEL_SIDE, PIXEL_SIDE)
    small = torch.nn.functional.interpolate(to_float(images), size=side, mode="bilinear", antialias=True)
    return small.flatten(1).double()


def digest(tensors: dict[str, Tensor]) -> str:
    """16 hex digits of the SHA-256 over names and contents."""
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].detach().cpu().contiguous().numpy().tobytes())
    return found.hexdigest()[:16]
