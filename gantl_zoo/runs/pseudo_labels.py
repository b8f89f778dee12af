"""Pseudo-labels: augment the training set of a classifier with labelled samples of a GAN.

Lee 2013, "Pseudo-Label: The Simple and Efficient Semi-Supervised Learning Method for Deep Neural Networks",
section 2.1, with samples instead of unlabelled images.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.model.gan import GAN

SEED = 2_000_000  # of samples that metrics don't use
PART = 500  # samples per forward pass


@dataclass(frozen=True)
class PseudoLabels:
    """A number of `samples` of a GAN, and the minimum `confidence` of their labels.

    Raises `UsageError` for impossible values.
    """

    gan: GAN
    samples: int
    confidence: float

    def __post_init__(self) -> None:
        if self.samples < 1 or not 0 <= self.confidence < 1:
            raise UsageError(
                f"gan-samples must be at least 1 and gan-confidence from 0 to below 1, not {self.samples} "
                f"and {self.confidence}"
            )

    def check(self, images: ImageData) -> None:
        """Raise `DataError` if the GAN makes images of another shape."""
        if self.gan.image_shape != images.shape:
            raise DataError(
                f"{self.gan.name} makes images {self.gan.image_shape} (channels, height, width), but those "
                f"of {images.name} are {images.shape}; convert the data with --image-size and --channels"
            )

    def joined(self, classifier: Classifier, images: ImageData) -> ImageData:
        """`images`, and the samples whose class `classifier` predicts with at least `confidence`."""
        assert images.labels is not None  # the classifier was trained on them
        pixels, labels = [images.images[:]], [images.labels]
        for start in range(0, self.samples, PART):
            samples = self.gan.generate(min(PART, self.samples - start), seed=SEED + start)
            confidence, label = classifier(samples).softmax(1).max(1)
            sure = confidence >= self.confidence
            pixels.append(to_uint8(samples[sure]))
            labels.append(label[sure])
        name = f"{images.name}+{self.gan.name}"
        return ImageData(torch.cat(pixels), torch.cat(labels), images.classes, name, images.split)
