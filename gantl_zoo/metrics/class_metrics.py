"""Metrics of a classifier's predictions for samples."""

from __future__ import annotations

from gantl_zoo.errors import UsageError
from gantl_zoo.metrics.classification import classes, inception_score, modes
from gantl_zoo.metrics.extract import Features
from gantl_zoo.metrics.metric import Counts, Metric, Values


class Classes(Metric):
    """The distribution of samples over the classes, as predicted by a classifier of the same data."""

    name, lower = "classes", ("class_share_max",)

    def check(self, terms: Counts) -> None:
        extractor = terms.extractor
        if not extractor.num_logits or extractor.trained_on != terms.data:
            reason = (
                f"was trained on {extractor.trained_on}" if extractor.trained_on else "is not a classifier"
            )
            raise UsageError(
                f"the metric {self.name} needs a classifier of {terms.data} as extractor; {extractor.name} "
                f"{reason}"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None and real.logits is not None  # by `check`
        values = classes(fake.logits, real.logits)
        if fake.labels is not None:  # the requested classes
            values["class_match"] = float((fake.logits.argmax(1) == fake.labels).double().mean())
        return values


class Modes(Classes):
    """The number of predicted classes, and the KL divergence of their shares from equal shares."""

    name, lower = "modes", ("mode_kl",)

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # by `check`
        return modes(fake.logits)


class InceptionScore(Metric):
    """The Inception score, with any classifier as extractor."""

    def check(self, terms: Counts) -> None:
        if not terms.extractor.num_logits:
            raise UsageError(
                f"the metric is needs a classifier as extractor, such as cnn-mnist; {terms.extractor.name} "
                "has features only"
            )

    def measure(self, fake: Features, real: Features, train: Features) -> Values:
        assert fake.logits is not None  # by `check`
        return {"is": inception_score(fake.logits)}
