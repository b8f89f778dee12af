"""Pseudo-labels: a GAN's samples as further training images of a classifier.

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

SEED = 2_000_000  # other samples than those that metrics measure
PART = 500


@dataclass(frozen=True)
class PseudoLabels:
    """A classifier labels `samples` of a GAN; those with at least `confidence` become training images.

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
        """Raises `DataError` if the GAN makes images of another shape."""
        if self.gan.image_shape != images.shape:
            raise DataError(
                f"{self.gan.name} makes images {self.gan.image_shape} (channels, height, width), "
                f"{images.name} has {images.shape}; bring the data to that with --image-size and --channels"
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
