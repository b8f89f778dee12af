"""What looks on while a run trains, and measures at its end: judges, extractors, the collapse watch."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.errors import DataError, UsageError, ZooError
from gantl_zoo.gan import GAN
from gantl_zoo.job import Job, load
from gantl_zoo.metrics.evaluate import METRIC_SEED, Evaluator
from gantl_zoo.metrics.features import Channelwise, ClassifierFeatures, Extractor, PixelFeatures, digest
from gantl_zoo.metrics.neighbours import nearest
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.seen import Images
from gantl_zoo.metrics.table import AUTO
from gantl_zoo.networks.backbone import BackboneDiscriminator
from gantl_zoo.training.collapse import LOOKED_AT, CollapseWatch
from gantl_zoo.training.folder import RunFolder
from gantl_zoo.training.watch import NEIGHBOURS, SHOWN
from gantl_zoo.zoo import load_model

SMALL = 64  # the side up to which grey images are shown to a classifier of digits
ENOUGH = 1000  # samples of which more would tell no more about a few held-out images
CHANNELWISE = "channelwise:"
SEARCHED = 12  # times as many training images as one measurement has samples are searched, at most


@dataclass
class Judge:
    """Measures GANs with an `Evaluator`, whose `learned` images are those that they were trained on."""

    evaluator: Evaluator

    def __call__(self, gan: GAN) -> Report:
        """All metrics of as many samples as the evaluator wants."""
        return self.evaluator(samples_of(gan, self.evaluator.samples, self.evaluator.held_out))

    def flattered(self, teachers: Iterable[nn.Module]) -> str:
        """A word for the log if a frozen network that teaches is the extractor, whose scores then fall faster
        than images get better; else nothing.
        """
        extractor = self.evaluator.extractor
        modules = [m for t in teachers for m in t.modules() if isinstance(m, BackboneDiscriminator)]
        if all(digest(m.backbone.state_dict()) != extractor.sha256 for m in modules if m.freeze):
            return ""
        return (
            f"note: the discriminator sees with {extractor.name}, and so does what measures: these scores "
            "flatter; --extractor takes another one"
        )

    def beside(self, gan: GAN) -> Tensor:
        """Samples, each followed by the training images nearest to it: (SHOWN·columns, C, H, W) uint8."""
        judge = self.evaluator
        data = judge.train if judge.learned is None else judge.learned
        assert data is not None  # a run has its images
        known = Images.part(data, min(len(data), SEARCHED * judge.samples))
        samples = samples_of(gan, SHOWN, judge.held_out).take(0, SHOWN)
        features = judge.see(Images.of(samples)).features
        _, index = nearest(features, judge.see(known).features, min(NEIGHBOURS - 1, known.count))
        rows = []
        for sample, row in zip(samples, index.tolist(), strict=True):
            rows += [to_uint8(sample)[None], *(known.take(i, i + 1) for i in row)]
        return torch.cat(rows)


def samples_of(gan: GAN, count: int, held_out: ImageData) -> Images:
    """Samples from seeds that nobody looks at; a model that knows classes is asked for as many of each as
    the held-out images have.
    """
    labels, numbers = None, list(range(len(held_out.classes)))
    if known := gan.num_classes:
        if known != len(held_out.classes) or held_out.labels is None:
            raise DataError(
                f"{gan.name} knows {known} classes, {held_out.name} has {len(held_out.classes)}, so its "
                "samples can't be compared class by class"
            )
        part = Images.part(held_out, count).labels
        assert part is not None  # held-out labels are there
        labels = part.repeat(-(-count // len(part)))[:count]
        if set(gan.classes) == set(held_out.classes):  # in another order, maybe
            numbers = [gan.classes.index(name) for name in held_out.classes]

    def take(start: int, stop: int) -> Tensor:
        wanted = None if labels is None else [numbers[label] for label in labels[start:stop].tolist()]
        return gan.generate(stop - start, seed=METRIC_SEED + start, labels=wanted)

    return Images(count, gan.image_shape, take, labels)


def make_judge(
    spec: Mapping[str, Any], extractor: str, metrics: tuple[str, ...], samples: int, **rest: Any
) -> Judge:
    """The judge of generated images for a data specification; `shots` there are what was learned. Images in
    memory are compared with, and what was trained on is not known.
    """
    train_images = load(whole(spec))
    held_out = unseen(spec, train_images)
    learned = load(spec) if spec.get("shots") is not None else None
    chosen = choose_extractor(extractor, train_images)
    known = None if isinstance(spec["source"], ImageData) else train_images
    return Judge(Evaluator(chosen, known, held_out, metrics, samples, learned, **rest))


def unseen(spec: Mapping[str, Any], images: ImageData) -> ImageData:
    """The held-out images of a data specification, in the size and the channels of those trained on."""
    channels, side, _ = images.shape
    return load(whole(spec) | {"split": "test", "channels": channels, "image_size": side})


def whole(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The specification of all images, however few a run trains on."""
    return {key: value for key, value in spec.items() if key not in ("shots", "fingerprint")}


def choose_extractor(name: str, reference: ImageData) -> Extractor:
    """The extractor of that name; "auto": `cnn-mnist` for small grey images, else pixels.

    Raises `UsageError` for what is no trained backbone, `WeightsError` where weights can't be had.
    """
    channels, side, _ = reference.shape
    if name == AUTO:
        name = "cnn-mnist" if channels == 1 and side <= SMALL else "pixels"
    if name == "pixels":
        return PixelFeatures.fit(reference)
    if name.split(":")[0] == "inception":
        from gantl_zoo.metrics.inception import InceptionFeatures

        return InceptionFeatures(name.partition(":")[2])
    if name.startswith(CHANNELWISE):
        return Channelwise(trained(name.removeprefix(CHANNELWISE)), channels)
    if name.startswith("timm:"):
        return ClassifierFeatures(name, registry.backbones.build(name, channels=channels), opinion=False)
    return trained(name)


def choose_or_pixels(name: str, images: ImageData) -> Extractor:
    """The extractor of that name, or pixels where it can't be had or doesn't see such images."""
    try:
        extractor = choose_extractor(name, images)
        extractor.check(images.shape)
    except ZooError:  # weights that are not there, another channel count
        extractor = PixelFeatures.fit(images)
    return extractor


def trained(name: str) -> ClassifierFeatures:
    """The extractor in a trained backbone's folder or release."""
    if name in registry.backbones:
        raise UsageError(
            f"extractor {name} is an architecture without a trained classifier; name one (gantl-zoo list "
            "--kind models) or its folder; timm:NAME, inception and pixels stand alone"
        )
    model = load_model(name)
    if isinstance(model, GAN):
        raise UsageError(f"extractor {name} is a GAN; use a backbone such as cnn-mnist, or pixels")
    return ClassifierFeatures(model.name, model.backbone, model.lineage.get("data", {}).get("name", ""))


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


def judge_of(job: Job, folder: RunFolder, images: ImageData, held_out: ImageData | None) -> Judge | None:
    """How a run measures its model, or None with a word in the log why it doesn't."""
    if not job.metrics or held_out is None:
        return None
    try:
        judge = Judge(evaluator_of(job, images, held_out))
    except (DataError, UsageError) as error:
        folder.log(f"no metrics: {error}")
        return None
    if not judge.evaluator.chosen:
        folder.log(f"no metrics: {held_out.name} has only {len(held_out)} held-out image(s)")
        return None
    return judge


def collapse_watch(job: Job, images: ImageData, held_out: ImageData | None) -> CollapseWatch | None:
    """Looks with the run's extractor, or at pixels if it doesn't fit; None if there is nothing to compare."""
    if len(images) < 2:
        return None
    few = images.few(min(LOOKED_AT, len(images)))
    unseen = held_out.few(min(LOOKED_AT, len(held_out))) if held_out is not None else None
    extractor = choose_or_pixels(job.extractor, images)
    pixels, labels = (None, None) if unseen is None else (unseen.images[:], unseen.labels)
    return CollapseWatch(lambda shown: extractor(shown)[0], few.images[:], pixels, few.labels, labels)
