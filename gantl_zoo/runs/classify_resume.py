"""Resume the run of a classifier; on one CPU the result is identical bit for bit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_run import ClassifierRun, check_settings, perform, start_of
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.relocate import find_images
from gantl_zoo.runs.settings import Data
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training import engine
from gantl_zoo.training.callback import Callback


def resume_classifier(
    path: str | Path,
    *,
    data: Data | None = None,
    requested: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
) -> Classifier:
    """Continue the run in the folder `path` from its newest checkpoint.

    The result equals that of an uninterrupted run. `data` is the new place of the images if they were moved;
    `requested` settings must equal the run's own. Raises `TrainingError` if the run does not exist, or if its
    images have changed; `UsageError` for other settings; `Stopped` after Ctrl-C.
    """
    folder, config = RunFolder.open(path, quiet)
    job = ClassifierJob.from_config(config, folder.path)
    check_settings(job, path, requested or {})
    images = find_images(job.data, job.fingerprint, folder.path, data)
    held_out = held_out_of(images.spec, images.train)
    run = ClassifierRun(job, images.train, held_out, engine.choose(job.device, job.precision))
    return perform(run, start_of(job, images.train), folder, True, callbacks)


def held_out_of(spec: DataSpec, like: ImageData | None = None) -> ImageData:
    """The images on which accuracy is measured. For images in memory these are the training images.

    They get the size and channels of the training images `like`, if those are given.
    """
    if like is not None and not spec.in_memory:
        channels, height, width = like.shape
        spec = replace(spec, channels=channels, image_size=height if height == width else spec.image_size)
    return spec.load("test")
