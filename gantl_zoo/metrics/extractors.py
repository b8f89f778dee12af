"""Feature extractors: they map images to the vectors that distances compare.

Images are compared in 8 bits, as files store them. Networks run in eval mode and float32.
N images, C, H, W image size, D features, L classes, P pixels.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence
from functools import cache
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData, to_float, to_uint8
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.networks.base import digest, evaluating

PIXEL_SIDE = 16  # `pixels` compares images at this size
FITTED, READ = 5_000, 500  # images that `pixels` is fitted to; images that are converted at once
DITHER = 16  # standard deviation of the noise for networks trained on photographs, in 255 levels
WORK = 1 << 19  # input pixels per batch

Outputs = tuple[Tensor, Tensor | None]  # features (N, D) and, for a classifier, logits (N, L); float32


class Extractor:
    """Base class of feature extractors. A subclass sets the attributes and implements `forward`."""

    name: str  # suffix of every score
    sha256: str  # of its weights, 16 hex digits: distinguishes extractors of the same name
    convention: str  # how images are preprocessed: size, resampling, range
    num_features: int
    side: int | None = None  # images are resized to this side; None: not resized
    channels: int | None = None  # channels of its input images; None: any
    trained_on: str = ""  # name of the data whose classes the logits belong to
    num_logits = 0  # 0: not a classifier
    stored = True  # whether features of real images are kept on disk
    note = ""  # a sentence for the user, if it was chosen for lack of a better one
    device = torch.device("cpu")  # where features are computed

    def to(self, device: torch.device) -> None:
        """Move the network, if there is one, to a device."""
        if isinstance(network := getattr(self, "network", None), torch.nn.Module):
            self.network: Any = network.to(device)
            self.device = device

    def forward(self, images: Tensor) -> Outputs:
        """Features and logits of one batch of images (N, C, H, W), uint8."""
        raise NotImplementedError

    def batch(self, side: int) -> int:
        """The batch size for images of this side."""
        return max(16, min(500, WORK // (self.side or side) ** 2))

    def check(self, shape: tuple[int, ...]) -> None:
        """Raise `DataError` for images of a shape (C, H, W) that it doesn't take."""
        if self.channels not in (None, shape[0]):
            raise DataError(
                f"extractor {self.name} takes {self.channels} channels, but these images have {shape[0]}; "
                "choose --extractor pixels, or an extractor for images with as many channels"
            )

    @torch.inference_mode()
    def __call__(self, images: Tensor) -> Outputs:
        """Features and logits of images (N, C, H, W), uint8 or float in [-1, 1]. Raises `DataError`."""
        self.check(tuple(images.shape[1:]))
        parts = [self.forward(eight_bits(part)) for part in torch.split(images, self.batch(images.shape[-1]))]
        logits = [batch for _, batch in parts if batch is not None]
        return torch.cat([batch for batch, _ in parts]), torch.cat(logits) if logits else None


class ClassifierFeatures(Extractor):
    """The embedding and the logits of a trained backbone."""

    def __init__(
        self, name: str, network: Any, trained_on: str = "", *, opinion: bool = True, grey: bool = False
    ) -> None:
        """`opinion`: whether its logits are used; False if its classes are not those of the data, as those of
        a network trained on photographs. Such a network gets dithered images. `grey`: whether the images are
        grey, and their channel is repeated for a network of colour images.
        """
        self.name, self.network, self.trained_on = name, network, trained_on
        self.num_logits = network.num_classes if opinion else 0
        self.repeated = grey and network.channels == 3
        self.channels = 1 if self.repeated else network.channels
        self.num_features = network.embedding_dim
        repeated = ", the grey channel repeated" if self.repeated else ""
        self.dithered = not opinion
        dithered = f", dithered by {DITHER}/255" if self.dithered else ""
        self.convention = f"8 bits, {resizing(network)}, as floats in [-1, 1]{repeated}{dithered}"
        self.sha256 = digest(network.state_dict())
        self.layout = torch.contiguous_format
        if network.channels == 3 and isinstance(network, torch.nn.Module):
            self.layout = torch.channels_last  # nearly twice as fast on a CPU, and equal but for rounding
            network.to(memory_format=self.layout)

    def batch(self, side: int) -> int:
        prepare = getattr(self.network, "prepare", None)
        if prepare is not None:  # the side that the network works on
            with torch.inference_mode():
                side = prepare(torch.zeros(1, self.network.channels, side, side, device=self.device)).shape[
                    -1
                ]
        return super().batch(side)

    def prepared(self, images: Tensor) -> Tensor:
        """The network's input (N, C, H, W) for images (N, C, H, W), uint8."""
        floats = to_float(images).to(self.device)
        floats = floats.expand(-1, 3, -1, -1) if self.repeated else floats  # (N, 1, H, W) -> (N, 3, H, W)
        if self.dithered:
            floats = floats + dither(floats.shape[1:]).to(self.device)
        return floats.contiguous(memory_format=self.layout)

    def forward(self, images: Tensor) -> Outputs:
        network = self.network = evaluating(self.network)  # eval mode, also if the caller has changed it
        floats = self.prepared(images)
        embedding = network.embed(floats)
        if not self.num_logits:
            return embedding.float(), None
        classify = getattr(network, "classify", None)  # without it the whole network runs once more
        return embedding.float(), (classify(embedding) if classify else network(floats)).float()


class Channelwise(Extractor):
    """Applies a classifier of grey images to each channel: `cnn-mnist` to the channels of stacked-mnist.

    Features (N, C·D) are concatenated. Logits are joint log-probabilities (N, Lᶜ): a class of the stack is
    one class per channel.
    """

    def __init__(self, inner: ClassifierFeatures, channels: int) -> None:
        """Raises `UsageError` if `inner` is not a classifier of grey images."""
        if inner.channels != 1:
            raise UsageError(
                f"extractor channelwise:{inner.name}: {inner.name} takes {inner.channels} channels at once; "
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

    def forward(self, images: Tensor) -> Outputs:
        count, channels = images.shape[:2]
        features, logits = self.inner.forward(
            images.flatten(0, 1).unsqueeze(1)
        )  # (N, C, H, W) -> (N·C, 1, H, W)
        assert logits is not None  # it is a classifier
        each = logits.view(count, channels, -1).unbind(1)  # (N·C, L) -> C times (N, L)
        return features.reshape(count, -1), joint(each)


class Joint(Extractor):
    """Several classifiers of the same images: one for each factor, such as the colour and the shape.

    Features (N, ΣD) are concatenated. Logits are joint log-probabilities (N, ΠL): a class is a combination of
    one class per classifier, in the order of `itertools.product`.
    """

    def __init__(self, name: str, inner: Sequence[ClassifierFeatures]) -> None:
        self.name, self.inner, self.channels = name, tuple(inner), inner[0].channels
        self.sha256 = hashlib.sha256("".join(one.sha256 for one in inner).encode()).hexdigest()[:16]
        self.convention = inner[0].convention
        self.num_features = sum(one.num_features for one in inner)
        self.num_logits = math.prod(one.num_logits for one in inner)

    def forward(self, images: Tensor) -> Outputs:
        outputs = [one.forward(images) for one in self.inner]
        logits = [each for _, each in outputs if each is not None]
        return torch.cat([features for features, _ in outputs], 1), joint(logits)


def joint(logits: Sequence[Tensor]) -> Tensor:
    """Joint log-probabilities (N, ΠL) of independent predictions, logits (N, L) each."""
    first, *others = [each.log_softmax(1) for each in logits]
    for other in others:
        first = (first[:, :, None] + other[:, None]).flatten(1)  # (N, L), (N, M) -> (N, L·M)
    return first


class PixelFeatures(Extractor):
    """The leading principal components of reference images' pixels. Takes any images."""

    convention = f"8 bits, resized to {PIXEL_SIDE} (bilinear, antialiased), as floats in [-1, 1]"

    def __init__(self, mean: Tensor, components: Tensor) -> None:
        self.mean, self.components = mean, components  # (P,), (P, D) float64
        self.num_features = components.shape[1]
        self.name = f"pixels-pca{self.num_features}"
        self.channels = len(mean) // PIXEL_SIDE**2
        self.sha256 = digest({"mean": mean, "components": components})

    @classmethod
    def fit(cls, reference: ImageData, dimensions: int = 64) -> PixelFeatures:
        """Fit to at most 5,000 reference images, drawn at random since the first may be of one class."""
        few = reference.few(FITTED) if len(reference) > FITTED else reference
        starts = range(0, len(few), READ)
        pixels = torch.cat([shrink(few.images[start : start + READ]) for start in starts])
        mean = pixels.mean(0)
        _, _, rows = torch.linalg.svd(pixels - mean, full_matrices=False)
        return cls(mean, rows[:dimensions].T.contiguous())

    def forward(self, images: Tensor) -> Outputs:
        return ((shrink(images) - self.mean) @ self.components).float(), None


def resizing(network: Any) -> str:
    """How a backbone resizes images, in words."""
    resize, how = getattr(network, "resize", None), getattr(network, "interpolation", "")
    how = f" ({how}, antialiased)" if how else ""
    if resize is None:
        return f"resized to a multiple of 32{how}" if how else "at their own size"
    smallest = network.side(1) if resize == "auto" else resize
    return f"resized to {'at least ' if resize == 'auto' else ''}{smallest}{how}"


@cache
def dither(shape: torch.Size) -> Tensor:
    """The noise (C, H, W) that is added to all images for a network trained on photographs.

    Photographs are never quite flat. Drawings are, and there such a network reacts strongly to differences of
    less than one of 255 levels, which nobody notices. The noise hides them. It is the same for all images, so
    that equal images have equal features.
    """
    with torch.inference_mode(False):
        return torch.randn(shape, generator=torch.Generator().manual_seed(0)) * (DITHER / 127.5)


def eight_bits(images: Tensor) -> Tensor:
    """Convert float images to uint8. Raises `DataError` for NaN and infinity."""
    if not images.is_floating_point():
        return images
    if not images.isfinite().all():
        raise DataError(
            "the samples have NaN or infinite values, so the model can't be measured: its training diverged"
        )
    return to_uint8(images)


def shrink(images: Tensor) -> Tensor:
    """Resize images (N, C, H, W), uint8, to float64 pixels (N, C·16·16) in [-1, 1]."""
    side = (PIXEL_SIDE, PIXEL_SIDE)
    small = torch.nn.functional.interpolate(to_float(images), size=side, mode="bilinear", antialias=True)
    return small.flatten(1).double()
