"""`classify`: train, fine-tune and evaluate classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Unpack

from gantl_zoo.console import silent
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.report import Report
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.registry.arguments import given, plain
from gantl_zoo.runs.classifier_recorder import result, scored
from gantl_zoo.runs.classify_job import ClassifierJob, ClassifierSettings
from gantl_zoo.runs.classify_resume import held_out_of, resume_classifier
from gantl_zoo.runs.classify_run import ClassifierRun, begin, check_channels, load_classifier
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import GENERAL, Data, DataSettings, check_known, data_spec
from gantl_zoo.runs.spec import RunData, fit_of
from gantl_zoo.storage import schema
from gantl_zoo.storage.untrusted import storable
from gantl_zoo.training import engine
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.classifier import accuracy
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.launcher import launched
from gantl_zoo.training.modes import training_modes

HELPER = ("gan", "gan_samples", "gan_confidence")


@with_settings(ClassifierSettings, ClassifierRecipe, ClassifierSettings, device="auto", precision="auto")
def classify_train(
    backbone: str | None = None,
    *,
    data: Data | None = None,
    backbone_config: dict[str, Any] | None = None,
    gan: str | Path | None = None,
    gan_samples: int | None = None,
    gan_confidence: float | None = None,
    resume: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path = "runs",
    quiet: bool = False,
    progress: bool | None = None,
    **settings: Unpack[ClassifierSettings],
) -> Classifier:
    """Train a backbone on labelled data, from scratch or, for `timm:` backbones, from pretrained weights.

    The default backbone is "cnn". `gan` augments the training set with pseudo-labelled samples
    (`gantl_zoo.runs.pseudo_labels`): a first classifier labels `gan_samples` samples (default 5,000), and
    those with a confidence of at least `gan_confidence` (default 0.95) are added to the training images of
    the final classifier, which is trained for as many steps. `settings` are those of `ClassifierRecipe`
    (epochs, batch, seed, lr, …), `precision`, `device`, `title`, and those of the data. `resume` continues
    the run in a folder; other arguments must agree with the settings of that run.
    """
    check_known(settings, ClassifierSettings, *GENERAL, "backbone_config", *HELPER)
    quiet = silent(quiet, progress)
    own = {"backbone_config": plain(backbone_config or {}), "gan": None if gan is None else str(gan)}
    own |= {"gan_samples": gan_samples, "gan_confidence": gan_confidence}
    if resume is not None:
        requested = given(own | settings | {"name": backbone})
        return resume_classifier(
            resume, data=data or None, requested=requested, callbacks=callbacks, quiet=quiet
        )
    run = prepared("train", backbone or "cnn", data, own, settings)
    return begin(run, out, callbacks, quiet)


@with_settings(ClassifierSettings, ClassifierRecipe, ClassifierSettings, device="auto", precision="auto")
def classify_transfer(
    source: str | Path | None = None,
    *,
    data: Data | None = None,
    strategy: str | None = None,
    strategy_config: dict[str, Any] | None = None,
    resume: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path = "runs",
    quiet: bool = False,
    progress: bool | None = None,
    **settings: Unpack[ClassifierSettings],
) -> Classifier:
    """Fine-tune a classifier on other labelled data.

    Classes that the source has under the same name keep their rows of the last block; the rows of all others
    are initialised. `source` may also be a `timm:` backbone with its pretrained weights, or a GAN, whose
    discriminator becomes the backbone (`gantl_zoo.networks.backbones.discriminator_features`). The default
    strategy is "full". `settings` and `resume` are as for `classify_train`.

    Raises `DataError` for images without labels or with another channel count, `UsageError` for a strategy
    that works for GANs only.
    """
    check_known(settings, ClassifierSettings, *GENERAL, "strategy", "strategy_config")
    quiet = silent(quiet, progress)
    own = {"strategy": strategy, "strategy_config": plain(strategy_config or {})}
    if resume is not None:
        requested = given(own | settings | {"name": None if source is None else str(source)})
        return resume_classifier(
            resume, data=data or None, requested=requested, callbacks=callbacks, quiet=quiet
        )
    if source is None:
        raise UsageError("source must be given, unless resume=RUN continues a run")
    return begin(prepared("transfer", str(source), data, own, settings), out, callbacks, quiet)


@with_settings(DataSettings)
@training_modes()
def classify_evaluate(
    model: str | Path | Classifier, *, data: Data, **settings: Unpack[DataSettings]
) -> Report:
    """Measure a classifier on the held-out images of `data`.

    `report["accuracy"]` is from 0 to 1; the report also has its 95 % interval. Raises `DataError` for images
    with another channel count or another number of classes.
    """
    check_known(settings, DataSettings, "model", "data")
    classifier = model if isinstance(model, Classifier) else load_classifier(model)
    spec = data_spec(data, settings)
    if settings.get("fit") is None:
        spec = replace(spec, fit=fit_of(classifier.about.get("lineage", {})))
    held_out = held_out_of(spec)
    if len(held_out.classes) != classifier.num_classes:
        raise DataError(
            f"{classifier.name} has {classifier.num_classes} classes, {held_out.name} has "
            f"{len(held_out.classes)}"
        )
    check_channels(classifier, held_out)
    if held_out.labels is not None and set(held_out.classes) == set(classifier.classes):
        order = torch.tensor([classifier.classes.index(name) for name in held_out.classes])
        held_out = replace(held_out, labels=order[held_out.labels])
    score = result(accuracy(classifier.backbone, held_out), held_out)
    return Report([scored(score, len(held_out))], model=classifier.name)


def prepared(
    verb: str, name: str, data: Data | None, own: Mapping[str, Any], settings: ClassifierSettings
) -> ClassifierRun:
    """Prepare a run: check its settings and read its images. Raises `UsageError` and `DataError`."""
    if size := launched():
        raise UsageError(
            f"a classifier is trained in one process: start it without a launcher, or unset {size}"
        )
    if data is None:
        raise UsageError("data must be given, unless resume=RUN continues a run")
    if wrong := schema.title(settings.get("title") or ""):
        raise UsageError(f"title {wrong}")
    spec, chosen = data_spec(data, settings), given(settings)
    recipe = ClassifierRecipe(
        **{f.name: chosen[f.name] for f in fields(ClassifierRecipe) if f.name in chosen}
    )
    others = {key: chosen[key] for key in ("device", "precision", "title") if key in chosen}
    job = ClassifierJob(verb=verb, name=name, data=spec, recipe=recipe, **given(own), **others)
    storable(name, "the source")
    storable(spec.name, "the option", DataError)
    machine = engine.choose(job.device, job.precision)
    images = RunData.read(spec).train
    if images.labels is None:
        raise DataError(f"{images.name} has no labels: sort its images into one folder per class")
    for one in images.classes:
        storable(one, f"the class of {images.name}", DataError)
    job = replace(job, fingerprint=images.fingerprint)
    return ClassifierRun(job, images, held_out_of(spec), machine)
