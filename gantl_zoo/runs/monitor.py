"""What looks on while a run trains, and measures at its end: judges, extractors, the collapse watch."""

from __future__ import annotations

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.runs.evaluate import ModelEvaluator, unseen, whole
from gantl_zoo.runs.extractor import choose_extractor, choose_or_pixels
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.spec import load
from gantl_zoo.training.health import LOOKED_AT, HealthMonitor

ENOUGH = 1000  # samples of which more would tell no more about a few held-out images


def held_out_of(job: Job, folder: RunFolder, images: ImageData) -> ImageData | None:
    """Images that the run doesn't train on, or None with a word in the log why there are none."""
    try:
        if job.data["fingerprint"] is None:
            raise DataError(
                f"{job.data['source']} was given in memory, where no image is held out; name a folder, or "
                "measure the model with evaluate"
            )
        return unseen(job.data, images)
    except DataError as error:
        folder.log(f"no metrics: {error}")
        return None


def check_wishes(job: Job, images: ImageData) -> None:
    """Raises what a metric or an extractor that was named, not left to us, raises if it can't be had for this
    data, and what leaves a comparison without a verdict: before a run begins, not in its log.
    """
    if not job.metrics or job.data["fingerprint"] is None:
        return
    if job.metrics != (AUTO,) or job.extractor != AUTO or job.compare_scratch:
        held_out = unseen(job.data, images)
        if not evaluator_of(job, images, held_out).chosen and job.compare_scratch:
            raise DataError(
                f"{held_out.name} has only {len(held_out)} held-out image(s), by which nobody could tell who "
                "won: add images, or leave --compare-scratch out"
            )


def evaluator_of(job: Job, images: ImageData, held_out: ImageData) -> Evaluator:
    """What measures a run's model. Raises `DataError` or `UsageError` for what can't be measured."""
    train_images = images if job.data["shots"] is None else load(whole(job.data))
    samples = min(job.samples, max(ENOUGH, len(held_out)))
    extractor = choose_extractor(job.extractor, train_images)
    return Evaluator(extractor, train_images, held_out, job.metrics, samples, images, quick=True)


def judge_of(
    job: Job, folder: RunFolder, images: ImageData, held_out: ImageData | None
) -> ModelEvaluator | None:
    """How a run measures its model, or None with a word in the log why it doesn't."""
    if not job.metrics or held_out is None:
        return None
    try:
        judge = ModelEvaluator(evaluator_of(job, images, held_out))
    except (DataError, UsageError) as error:
        folder.log(f"no metrics: {error}")
        return None
    if not judge.evaluator.chosen:
        folder.log(f"no metrics: {held_out.name} has only {len(held_out)} held-out image(s)")
        return None
    return judge


def collapse_watch(job: Job, images: ImageData, held_out: ImageData | None) -> HealthMonitor | None:
    """Looks with the run's extractor, or at pixels if it doesn't fit; None if there is nothing to compare."""
    if len(images) < 2:
        return None
    few = images.few(min(LOOKED_AT, len(images)))
    unseen = held_out.few(min(LOOKED_AT, len(held_out))) if held_out is not None else None
    extractor = choose_or_pixels(job.extractor, images)
    pixels, labels = (None, None) if unseen is None else (unseen.images[:], unseen.labels)
    return HealthMonitor(lambda shown: extractor(shown)[0], few.images[:], pixels, few.labels, labels)
