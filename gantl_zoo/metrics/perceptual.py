"""Metrics of variety by perceptual distances, which are squared distances between feature maps.

N samples, M training images, C channels, H, W image size, D numbers in all feature maps of an image.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.extractors import ClassifierFeatures, Extractor, Outputs
from gantl_zoo.metrics.metric import Counts, Metric, Values
from gantl_zoo.metrics.neighbours import squares
from gantl_zoo.networks.perceptual import AT_ONCE, PerceptualDistance, mean_squared_distance

MOST = 1_000  # images of a set
BYTES = 1 << 29  # of their vectors
CENTRES = 100  # the most training images for the metric intra_pd


class FeatureMaps(Extractor):
    """The feature maps of an extractor's network as vectors, whose squared distances are perceptual ones.

    `most` is the number of images whose vectors fit into 512 MB, at most 1,000. Vectors are not kept on disk.
    """

    stored = False

    def __init__(self, inner: Extractor, shape: tuple[int, int, int]) -> None:
        """`shape` (C, H, W) is that of the images. Raises `UsageError` for a network without feature maps."""
        if not isinstance(inner, ClassifierFeatures) or not hasattr(inner.network, "pyramid"):
            raise UsageError(
                f"the extractor {inner.name} has no feature maps, which a perceptual distance compares: "
                "choose a classifier, such as --extractor timm-mobilenetv3-cifar10"
            )
        self.inner, self.name, self.sha256 = inner, inner.name, inner.sha256
        self.channels = inner.channels
        self.convention = f"{inner.convention}; feature maps, of unit length at each place"
        self.num_features = self(torch.zeros(1, *shape, dtype=torch.uint8))[0].shape[1]
        self.most = max(2, min(MOST, BYTES // (4 * self.num_features)))

    def batch(self, side: int) -> int:
        return min(AT_ONCE, self.inner.batch(side))

    def forward(self, images: Tensor) -> Outputs:
        distance = PerceptualDistance(self.inner.network, self.name)
        return distance.vectors(self.inner.prepared(images)).float(), None


class Variety(Metric):
    """The mean perceptual distance between two samples, pd."""

    neutral, maps, alone = ("pd",), True, True

    def check(self, terms: Counts) -> None:
        if terms.fake < 2:
            raise DataError(f"the metric pd needs at least 2 samples, not {terms.fake}")

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"pd": mean_squared_distance(torch.split(fake.features, AT_ONCE))}


class ClusterVariety(Metric):
    """The mean perceptual distance between samples that share their nearest training image, intra_pd."""

    neutral, maps, needs_train = ("intra_pd",), True, True

    def check(self, terms: Counts) -> None:
        if not 2 <= terms.train <= CENTRES:
            raise DataError(
                f"the metric intra_pd is for 2 to {CENTRES} training images (--shots), not {terms.train:,}; "
                "pd compares samples without training images"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"intra_pd": within_clusters(fake.features, train.features)}

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return self.measure(real, real, train)


def within_clusters(fake: Tensor, train: Tensor) -> float:
    """The mean squared distance between vectors (N, D) that share their nearest one of `train` (M, D).

    It is averaged over those of `train` that are nearest to two or more; NaN if none is.
    """
    index = torch.cat([squares(part, train).argmin(1) for part in torch.split(fake, AT_ONCE)])  # (N,)
    clusters = (fake[index == i] for i in range(len(train)))
    values = [mean_squared_distance(torch.split(cluster, AT_ONCE)) for cluster in clusters]
    known = [value for value in values if not math.isnan(value)]
    return sum(known) / len(known) if known else math.nan
