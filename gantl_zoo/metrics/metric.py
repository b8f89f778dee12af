"""`Metric`: what compares features of samples with those of real images. Metrics are registered by name.

A script registers its own with `@gz.metrics.register("mine")`, a plug-in with an entry point of the group
`gantl_zoo.metrics`. It is measured on request: `--metrics mine`.

`train` are the images that the model was trained on. A metric's floor is its value for real images in place
of samples: as many training images, or held-out images for metrics of memorisation.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gantl_zoo.metrics.distance import Interval
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.extractors import Extractor

Values = Mapping[str, float | Interval]


@dataclass(frozen=True)
class Counts:
    """The extractor, the data's name, and the numbers of images that a metric would get."""

    extractor: Extractor
    data: str
    real: int  # held-out images
    fake: int
    train: int
    seen_too: int  # real images, also those that the model was trained on if few are held out


class Metric:
    """Base class of metrics.

    `lower` names the values of which lower ones are better, and `neutral` those without a direction.
    `seen_too`: with fewer than 50 held-out images it compares all real images, also those that the model was
    trained on.
    """

    lower: tuple[str, ...] = ()
    neutral: tuple[str, ...] = ()
    seen_too = False
    sized = False  # whether values depend on the number of images, so that floors need as many as samples
    by_class = False  # whether it is also measured per class for class-conditional models
    needs_train = False
    maps = False  # whether it compares feature maps as vectors (`perceptual.FeatureMaps`), of few images
    alone = False  # whether it compares the images of a set with each other only

    def check(self, terms: Counts) -> None:
        """Raise `DataError` or `UsageError` if the metric can't be measured."""

    def in_training(self) -> Metric:
        """The metric as it is measured during training, in less time."""
        return self

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        """The metric's values by name. `-pca64` at its end means the extractor's principal components."""
        raise NotImplementedError

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        """The values for real images: `stand_in` has as many training images as there are samples."""
        return self.measure(stand_in, real, train)
