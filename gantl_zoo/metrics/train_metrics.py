"""Metrics that compare samples with the images that the model was trained on."""

from __future__ import annotations

from gantl_zoo.errors import DataError
from gantl_zoo.metrics.distance import check_frechet, frechet
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.memorisation import copies, diversity, informed
from gantl_zoo.metrics.metric import Counts, Metric, Values

FEW = 1000  # the most training images for the metric diversity
UNSEEN = 5  # the fewest held-out images for the metric memory


class Copies(Metric):
    """Memorisation: distances of samples and of held-out images to the nearest training image."""

    neutral, needs_train = ("nn_distance", "copies"), True

    def check(self, terms: Counts) -> None:
        if terms.real < UNSEEN:
            raise DataError(
                f"the metric memory needs at least {UNSEEN} held-out images as a reference for new images, "
                f"not {terms.real}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return copies(fake.features, real.features, train.features)

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return copies(real.features, real.features, train.features)


class Informed(Metric):
    """The memorisation-informed Fréchet distance, mifid."""

    lower, needs_train = ("mifid",), True

    def check(self, terms: Counts) -> None:
        check_frechet(terms.real, terms.fake, terms.extractor.num_features)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        distance = frechet(real.features, fake.features)
        return {"mifid": informed(distance, fake.features, train.features)}

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        distance = frechet(real.features, stand_in.features)
        return {"mifid": informed(distance, real.features, train.features)}


class Diversity(Metric):
    """The intra-cluster distance of samples around few training images."""

    needs_train = True

    def check(self, terms: Counts) -> None:
        if not 2 <= terms.train <= FEW:
            raise DataError(
                f"the metric diversity is for 2 to {FEW:,} training images (--shots), not {terms.train:,}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        return {"diversity": diversity(fake.features, train.features)}

    def floor(self, stand_in: Features, real: Features, train: Features) -> Values:
        return {"diversity": diversity(real.features, train.features)}
