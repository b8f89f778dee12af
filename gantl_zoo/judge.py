"""What looks on while a run trains, and measures at its end: evaluators, extractors, the collapse watch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError, ZooError
from gantl_zoo.gan import GAN
from gantl_zoo.job import Job, load
from gantl_zoo.metrics.evaluate import METRIC_SEED, Evaluator
from gantl_zoo.metrics.features import ClassifierFeatures, Extractor, PixelFeatures
from gantl_zoo.training.collapse import LOOKED_AT, CollapseWatch
from gantl_zoo.training.folder import RunFolder
from gantl_zoo.training.watch import Measure
from gantl_zoo.zoo import load_model


def make_evaluator(
    spec: Mapping[str, Any], extractor: str, metrics: tuple[str, ...], samples: int
) -> Evaluator:
    """The judge of generated images for a data specification."""
    full = {key: value for key, value in spec.items() if key not in ("shots", "fingerprint")}
    train_images, held_out = load(full), load(full | {"split": "test"})
    return Evaluator(choose_extractor(extractor, train_images), train_images, held_out, metrics, samples)


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for grey images, else pixels."""
    if name == "auto":
        name = "cnn-mnist" if reference.shape[0] == 1 else "pixels"
    if name == "pixels":
        return PixelFeatures.fit(reference)
    model = load_model(name)
    if isinstance(model, GAN):
        raise UsageError(f"extractor {name} is a GAN; use a backbone such as cnn-mnist, or pixels")
    return ClassifierFeatures(model.name, model.backbone, model.lineage.get("data", {}).get("name", ""))


def measure_of(job: Job, folder: RunFolder) -> Measure | None:
    """How a run measures its model, or None with a word in the log why it doesn't."""
    if not job.metrics or job.metrics == ("none",) or job.data["fingerprint"] is None:
        return None
    try:
        found = make_evaluator(job.data, job.extractor, job.metrics, job.samples)
    except (DataError, UsageError) as error:
        folder.log(f"no metrics: {error}")
        return None
    judge = replace(found, samples=min(job.samples, len(found.held_out)))
    return lambda gan: judge(gan.generate(judge.samples, seed=METRIC_SEED)).results


def collapse_watch(job: Job, images: ImageData) -> CollapseWatch | None:
    """Looks with the run's extractor, or at pixels if it doesn't fit; None if there is nothing to compare."""
    if len(images) < 2:
        return None
    held_out = None
    if job.data["fingerprint"] is not None:
        spec = {key: value for key, value in job.data.items() if key not in ("shots", "fingerprint")}
        try:
            unseen = load(spec | {"split": "test"})
            held_out = unseen.few(min(LOOKED_AT, len(unseen))).images
        except DataError:  # too few images for a held-out split
            pass
    few = images.few(min(LOOKED_AT, len(images)))
    try:
        return CollapseWatch(choose_extractor(job.extractor, images), few.images, held_out)
    except ZooError:  # weights that are not there, another channel count
        return CollapseWatch(PixelFeatures.fit(images), few.images, held_out)
