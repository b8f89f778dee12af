"""What looks on while a run trains, and measures at its end: evaluators, extractors, the collapse watch."""

from __future__ import annotations

from collections.abc import Mapping
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
    train_images, held_out = load(whole(spec)), load(whole(spec) | {"split": "test"})
    return Evaluator(choose_extractor(extractor, train_images), train_images, held_out, metrics, samples)


def whole(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of all images, however few a run trains on."""
    return {key: value for key, value in spec.items() if key not in ("shots", "fingerprint")}


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


def held_out_of(job: Job, folder: RunFolder) -> ImageData | None:
    """Images that the run doesn't train on, or None with a word in the log why there are none."""
    if job.data["fingerprint"] is None:  # given in memory
        return None
    try:
        return load(whole(job.data) | {"split": "test"})
    except DataError as error:
        folder.log(f"no metrics: {error}")
        return None


def measure_of(job: Job, folder: RunFolder, images: ImageData, held_out: ImageData | None) -> Measure | None:
    """How a run measures its model, or None with a word in the log why it doesn't."""
    if not job.metrics or job.metrics == ("none",) or held_out is None:
        return None
    train_images = images if job.data["shots"] is None else load(whole(job.data))
    try:
        extractor = choose_extractor(job.extractor, train_images)
        judge = Evaluator(extractor, train_images, held_out, job.metrics, min(job.samples, len(held_out)))
    except (DataError, UsageError) as error:
        folder.log(f"no metrics: {error}")
        return None
    return lambda gan: judge(gan.generate(judge.samples, seed=METRIC_SEED)).results


def collapse_watch(job: Job, images: ImageData, held_out: ImageData | None) -> CollapseWatch | None:
    """Looks with the run's extractor, or at pixels if it doesn't fit; None if there is nothing to compare."""
    if len(images) < 2:
        return None
    few = images.few(min(LOOKED_AT, len(images))).images
    unseen = held_out.few(min(LOOKED_AT, len(held_out))).images if held_out is not None else None
    try:
        return CollapseWatch(choose_extractor(job.extractor, images), few, unseen)
    except ZooError:  # weights that are not there, another channel count
        return CollapseWatch(PixelFeatures.fit(images), few, unseen)
