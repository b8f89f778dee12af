"""`Monitor`: the metrics and the health checks of a run during training."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.runs.evaluate import ModelEvaluator
from gantl_zoo.runs.extractor import choose_extractor, choose_or_pixels
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.spec import RunData
from gantl_zoo.training import health
from gantl_zoo.training.health import HealthMonitor

ENOUGH = 1000  # samples; with few held-out images more samples add no information


@dataclass(frozen=True)
class Monitor:
    """The evaluator of a run and its held-out images. Without an evaluator `note` gives the reason.

    `backbones` has the `stem_digest` of each frozen backbone in the training.
    """

    evaluator: ModelEvaluator | None = None
    held_out: ImageData | None = None
    note: str = ""
    backbones: Collection[str] = ()


def monitor_of(
    job: Job, data: RunData, backbones: Collection[str] = (), avoid: Collection[str] = ()
) -> Monitor:
    """The monitor of a run, whose default extractor is neither in `backbones` nor in `avoid`.

    Raises `DataError` or `UsageError` if an explicitly requested metric or extractor can't be used with these
    images, or if runs can't be compared. For defaults the monitor has a note instead.
    """
    try:
        held_out = data.held_out
    except DataError as error:
        if _requested(job) and not data.spec.in_memory:
            raise
        return Monitor(note=f"no metrics: {error}", backbones=backbones)
    if not job.measuring.metrics:
        return Monitor(held_out=held_out, backbones=backbones)
    try:
        evaluator = ModelEvaluator(_evaluator(job, data, held_out, {*backbones, *avoid}))
    except (DataError, UsageError) as error:
        if _requested(job):
            raise
        return Monitor(held_out=held_out, note=f"no metrics: {error}", backbones=backbones)
    return Monitor(evaluator, held_out, backbones=backbones)


def _requested(job: Job) -> bool:
    """Whether metrics or an extractor were explicitly requested, or a comparison needs them."""
    usual = job.measuring.metrics in ((), (AUTO,)) and job.measuring.extractor == AUTO
    return bool(job.measuring.metrics) and (not usual or job.compare_scratch)


def _evaluator(job: Job, data: RunData, held_out: ImageData, backbones: Collection[str]) -> Evaluator:
    """The evaluator of a run, with few samples because it measures often."""
    measuring = job.measuring
    samples = min(measuring.samples, max(ENOUGH, len(held_out)))
    extractor = choose_extractor(measuring.extractor, data.whole, backbones)
    return Evaluator(extractor, data.whole, held_out, measuring.metrics, samples, data.train, quick=True)


def health_monitor(job: Job, images: ImageData, held_out: ImageData | None) -> HealthMonitor | None:
    """The health monitor of a run, with its feature extractor, or pixels if that does not fit the images.

    None for a single training image, because the checks need two.
    """
    if len(images) < 2:
        return None
    few = images.few(min(health.LOOKED_AT, len(images)))
    unseen = held_out.few(min(health.LOOKED_AT, len(held_out))) if held_out is not None else None
    extractor = choose_or_pixels(job.measuring.extractor, images)
    pixels, labels = (None, None) if unseen is None else (unseen.images[:], unseen.labels)
    return HealthMonitor(lambda shown: extractor(shown)[0], few.images[:], pixels, few.labels, labels)
