"""`Measuring`: how a run's model is measured. Imports no torch: the command line reads its fields."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Measuring:
    """How a run's model is measured.

    `metrics`: metrics, separated by commas: fd, kd, cpr, memory, classes, and on request
    pr, is, mifid, diversity, pd, intra_pd, modes. auto means all that suit the data but those, none means
    none.
    `samples`: number of samples that are measured.
    `extractor`: feature extractor of the metrics: auto, pixels, inception, a classifier's name, or
    channelwise:NAME.
    """

    metrics: tuple[str, ...] = ("auto",)
    samples: int = 5_000
    extractor: str = "auto"
