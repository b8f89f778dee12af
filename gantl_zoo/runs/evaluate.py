"""`evaluate`: measure a GAN against held-out images."""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from typing_extensions import Unpack

from gantl_zoo.console import silent
from gantl_zoo.data import ImageData, is_name, overlap, to_uint8
from gantl_zoo.errors import DataError
from gantl_zoo.metrics.catalogue import AUTO
from gantl_zoo.metrics.evaluator import METRIC_SEED, Evaluator
from gantl_zoo.metrics.extract import Images, Progress, plain
from gantl_zoo.metrics.neighbours import nearest
from gantl_zoo.metrics.report import Report
from gantl_zoo.metrics.shared import stem_digest
from gantl_zoo.model.gan import GAN
from gantl_zoo.registry.arguments import given
from gantl_zoo.runs.extractor import choose_extractor
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.progress import tracked
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import Data, EvaluateSettings, check_known, data_spec, measuring_of
from gantl_zoo.runs.spec import OLD_SPLIT, DataSpec, RunData, fit_of, place_of
from gantl_zoo.training import engine
from gantl_zoo.training.engine import Engine
from gantl_zoo.training.modes import training_modes
from gantl_zoo.zoo import gan_named

SAMPLES = 10_000
SHOWN, NEIGHBOURS = 8, 6  # rows and maximum number of columns of `nearest.png`
SEARCHED = 12  # maximum number of searched training images, in multiples of the samples per measurement


@dataclass
class ModelEvaluator:
    """Measures GANs with an `Evaluator`, whose `learned` images are their training images."""

    evaluator: Evaluator

    def __call__(self, gan: GAN) -> Report:
        """Compute all metrics on samples of `gan`."""
        return self.evaluator(samples_of(gan, self.evaluator.samples, self.evaluator.held_out))

    def notes(self, backbones: Collection[str]) -> list[str]:
        """Notes on the extractor. `backbones` has the `stem_digest` of each backbone used in training."""
        extractor = self.evaluator.extractor
        notes = [extractor.note] if extractor.note else []
        if stem_digest(getattr(extractor, "network", None)) in backbones:
            notes.append(
                f"note: the model was trained with the features of {extractor.name}, which the metrics also "
                "use, so these scores are too good; choose another extractor with --extractor"
            )
        return notes

    def nearest_grid(self, gan: GAN) -> Tensor:
        """Samples, each followed by its nearest training images, (SHOWN·columns, C, H, W), uint8."""
        evaluator = self.evaluator
        data = evaluator.train if evaluator.learned is None else evaluator.learned
        assert data is not None  # a run has training images
        real = Images.part(data, min(len(data), SEARCHED * evaluator.samples))
        samples = samples_of(gan, SHOWN, evaluator.held_out).take(0, SHOWN)
        features = evaluator.extract(Images.of(samples)).features
        _, index = nearest(features, evaluator.extract(real).features, min(NEIGHBOURS - 1, real.count))
        rows = []
        for sample, row in zip(samples, index.tolist(), strict=True):
            rows += [to_uint8(sample)[None], *(real.take(i, i + 1) for i in row)]
        return torch.cat(rows)


def samples_of(gan: GAN, count: int, held_out: ImageData) -> Images:
    """Samples from seeds that are reserved for metrics.

    Those of a class-conditional model have the class frequencies of the held-out images. Raises `DataError`
    if the classes differ in number.
    """
    labels, numbers = None, list(range(len(held_out.classes)))
    if num_classes := gan.num_classes:
        if num_classes != len(held_out.classes) or held_out.labels is None:
            raise DataError(
                f"{gan.name} has {num_classes} classes, but {held_out.name} has {len(held_out.classes)}: "
                "measure the model on data with its classes"
            )
        part = Images.part(held_out, count).labels
        assert part is not None  # `held_out.labels` were checked above
        labels = part.repeat(-(-count // len(part)))[:count]
        if set(gan.classes) == set(held_out.classes):  # possibly in another order
            numbers = [gan.classes.index(name) for name in held_out.classes]

    def take(start: int, stop: int) -> Tensor:
        batch = None if labels is None else [numbers[label] for label in labels[start:stop].tolist()]
        return gan.generate(stop - start, seed=METRIC_SEED + start, labels=batch)

    return Images(count, gan.image_shape, take, labels)


@with_settings(EvaluateSettings, samples=SAMPLES, metrics=AUTO)
@training_modes()
def evaluate(
    model: str | Path | GAN,
    *,
    data: Data,
    quiet: bool = False,
    progress: bool | None = None,
    device: str | None = None,
    **settings: Unpack[EvaluateSettings],
) -> Report:
    """Measure samples of `model` against the held-out images of `data`.

    `metrics` are names, as a sequence or a string like "fd,kd". "auto" means those of
    `gantl_zoo.metrics.catalogue.BY_DEFAULT` that can be measured; "none" means none. `shots` and `data_seed`
    select the images that the model was trained on, for the metrics of memorisation. `fit` is "crop" or
    "pad"; the default is that of the training. `device` ("cpu", "cuda", "auto", …) generates images and
    extracts features; by default features are extracted on the CPU, and the model stays on its own device.

    Images in memory are all compared with the samples; there is no floor then, because the training images
    are unknown. Processes that a launcher started share the work, and each gets the report. `progress=False`
    (or `quiet`) shows no progress. The report warns if, by its lineage, the model was trained on held-out
    images.

    Raises `DataError` for images that don't fit the model or are too few, `UsageError` for an unknown metric
    or extractor.
    """
    check_known(settings, EvaluateSettings, "model", "data", "quiet", "progress", "device")
    measuring = measuring_of({"samples": SAMPLES, **given(settings)})  # type: ignore[typeddict-item]
    gan = gan_named(model, discriminator=False)
    fit = settings.get("fit") or fit_of(gan.lineage)
    spec = replace(data_spec(data, settings), image_size=gan.image_shape[1], fit=fit)
    spec = split_as_in_training(gan, spec)
    machine = engine.choose(device or "cpu", "fp32")
    if device:
        gan = copy.deepcopy(gan).to(machine.device)  # the caller's model stays where it is
    bar = tracked(silent(quiet, progress)) if machine.processes.main else plain
    return measured(gan, spec, measuring, machine, bar)


def measured(gan: GAN, spec: DataSpec, measuring: Measuring, machine: Engine, bar: Progress) -> Report:
    """The report on `gan`, with warnings; features are extracted on the engine's device."""
    crew = machine.processes if machine.processes.count > 1 else None
    with machine.applied():  # the engine's allocator halves the time
        chosen = (measuring.extractor, measuring.metrics, measuring.samples)
        backbones = backbones_of(gan)
        evaluator = evaluator_for(spec, *chosen, avoid=backbones, crew=crew, progress=bar)
        held_out = evaluator.evaluator.held_out
        check_channels(gan, held_out)
        evaluator.evaluator.extractor.to(machine.device)
        report = evaluator(gan)
    report.model = gan.name
    report.notes += evaluator.notes(backbones) + trained_on(gan, held_out)
    return report


def backbones_of(gan: GAN) -> set[str]:
    """The `stem_digest` of each frozen backbone that the model was trained with, as its run recorded them."""
    recorded = gan.about.get("training", {}).get("backbones")
    return set(map(str, recorded)) if isinstance(recorded, list) else set()


def evaluator_for(
    spec: DataSpec,
    extractor: str,
    metrics: tuple[str, ...],
    samples: int,
    avoid: Collection[str] = (),
    **rest: Any,
) -> ModelEvaluator:
    """The evaluator for a data specification, whose `shots` are the training images of the model."""
    data = RunData.read(spec)
    if spec.in_memory:  # all are compared with the samples; the training images are unknown
        held_out, train, learned = data.whole, None, data.train if spec.shots is not None else None
    else:
        held_out, train, learned = data.held_out, data.whole, data.train if spec.shots is not None else None
    chosen = choose_extractor(extractor, data.whole, avoid)
    return ModelEvaluator(Evaluator(chosen, train, held_out, metrics, samples, learned, **rest))


def check_channels(gan: GAN, images: ImageData) -> None:
    """Raise `DataError` if images and model have different channel counts."""
    if images.shape[0] != gan.image_shape[0]:
        raise DataError(
            f"{gan.name} makes images with {gan.image_shape[0]} channel(s), but {images.name} has "
            f"{images.shape[0]}; convert the data with --channels {gan.image_shape[0]}"
        )


def split_as_in_training(gan: GAN, spec: DataSpec) -> DataSpec:
    """The specification, with the split by path if an earlier version trained the model on these images.

    Earlier versions held out images by their paths, and wrote no "trained_on" into the lineage.
    """
    trained = gan.lineage.get("data", {})
    elsewhere = is_name(trained.get("name")) or place_of(spec.source) is None
    if "trained_on" in trained or elsewhere:  # decided without reading the images twice
        return spec
    early = replace(spec, split_by=OLD_SPLIT)
    return early if RunData.read(early).fingerprint == trained.get("fingerprint") else spec


def trained_on(gan: GAN, held_out: ImageData) -> list[str]:
    """A warning for each model of the lineage, this one included, that was trained on held-out images."""
    notes, lineage, name = [], gan.lineage, gan.name
    while lineage:
        data = lineage.get("data", {})
        if count := overlap(str(data.get("trained_on", "")), held_out):
            notes.append(
                f"warning: {name} was trained on {count} of the {len(held_out)} held-out images of "
                f"{held_out.name}, so its scores are too good; hold out the same images as in training"
            )
        name, lineage = lineage.get("base_model", ""), lineage.get("base_lineage", {})
    return notes
