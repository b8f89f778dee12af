"""`classify`: train, fine-tune and evaluate classifiers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from typing_extensions import Unpack

from gantl_zoo.console import silent
from gantl_zoo.data import is_name
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.confusion import Predictions
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.registry.arguments import fits, given, plain
from gantl_zoo.runs.classify_choice import AUTO, choose_channels
from gantl_zoo.runs.classify_job import ClassifierSettings
from gantl_zoo.runs.classify_prepare import BY_CLASS, prepared
from gantl_zoo.runs.classify_report import ClassifierReport, classifier_report
from gantl_zoo.runs.classify_resume import held_out_of, resume_classifier
from gantl_zoo.runs.classify_run import begin, check_channels, load_classifier
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import GENERAL, Data, DataSettings, check_known, data_spec
from gantl_zoo.runs.spec import DataSpec, fit_of
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.classifier import labels_of, logits_of
from gantl_zoo.training.classifier_recipe import CHOSEN, ClassifierRecipe
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


@with_settings(
    ClassifierSettings, ClassifierRecipe, ClassifierSettings, device="auto", precision="auto", **CHOSEN
)
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
    discriminator becomes the backbone (`gantl_zoo.networks.backbones.discriminator_features`). `settings` and
    `resume` are as for `classify_train`.

    For a pretrained network of timm, strategy, epochs, batch, lr, shift and flip are chosen for the number of
    images if they are not given, large photos get a size, and grey images become colour images
    (`gantl_zoo.runs.classify_choice`). For other sources the default strategy is "full".

    Raises `DataError` for images without labels or with another channel count, `UsageError` for a strategy
    that works for GANs only.
    """
    check_known(settings, ClassifierSettings, *GENERAL, "strategy", "strategy_config")
    quiet = silent(quiet, progress)
    strategy = None if strategy == AUTO else strategy
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
) -> ClassifierReport:
    """Measure a classifier on the held-out images of `data`.

    `report["accuracy"]` is from 0 to 1; the report also has its 95 % interval, the accuracy of each class and
    the confusion matrix, and `report.save_pictures(folder)` draws that and the worst mistakes. Without
    `image_size`, images of a folder or zip get the size of the training images. Raises `DataError` for images
    with another channel count or another number of classes.
    """
    check_known(settings, DataSettings, "model", "data")
    classifier = model if isinstance(model, Classifier) else load_classifier(model)
    spec = as_trained(data_spec(data, settings), classifier.about.get("lineage", {}), settings)
    held_out = held_out_of(spec)
    _, held_out, _ = choose_channels(spec, held_out, classifier.channels)
    if len(held_out.classes) != classifier.num_classes:
        raise DataError(
            f"{classifier.name} has {classifier.num_classes} classes, {held_out.name} has "
            f"{len(held_out.classes)}"
        )
    check_channels(classifier, held_out)
    if held_out.labels is not None and set(held_out.classes) == set(classifier.classes):
        order = torch.tensor([classifier.classes.index(name) for name in held_out.classes])
        held_out = replace(held_out, labels=order[held_out.labels], classes=tuple(classifier.classes))
    predictions = Predictions(
        logits_of(classifier.backbone, held_out), labels_of(held_out), tuple(held_out.classes)
    )
    return classifier_report(predictions, held_out, classifier.name)


def as_trained(spec: DataSpec, lineage: Mapping[str, Any], settings: DataSettings) -> DataSpec:
    """The specification with what is not given as it was in training: fit, split, and a folder's size."""
    data = lineage.get("data", {})
    if settings.get("fit") is None:
        spec = replace(spec, fit=fit_of(lineage))
    if data.get("split_by") == BY_CLASS:
        spec = replace(spec, split_by=BY_CLASS)
    shape = data.get("shape")
    if spec.image_size is None and not (spec.in_memory or is_name(spec.source)) and is_square(shape):
        spec = replace(spec, image_size=shape[1])
    return spec


def is_square(shape: Any) -> bool:
    """Whether a shape in a lineage, which anyone may have written, is (C, H, W) with equal sides."""
    return isinstance(shape, list) and len(shape) == 3 and shape[1] == shape[2] and fits(shape[1], int)
