"""Resume a classifier's run, bit for bit on one CPU."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData, source_of
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_run import ClassifierRun, differing, perform, start_of
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.settings import Data
from gantl_zoo.runs.spec import DataSpec, RunData
from gantl_zoo.training import engine
from gantl_zoo.training.callback import Callback


def resume_classifier(
    path: str | Path,
    *,
    data: Data | None = None,
    wishes: Mapping[str, Any] | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
) -> Classifier:
    """Continue the classifier's run in the folder `path` from its newest checkpoint, as if it had never
    stopped.

    `data` is where the run's images lie now, if they were moved; `wishes` are settings that must be the run's
    own. Raises `TrainingError` if there is no such run, or if its images have changed; `UsageError` for other
    wishes; `Stopped` after Ctrl-C.
    """
    folder, config = RunFolder.open(path, quiet)
    job = ClassifierJob.from_config(config, folder.path)
    if wrong := differing(job, wishes or {}):
        raise UsageError(
            f"{path} began with another {', '.join(wrong)}, and --resume goes on with what a run began with: "
            "leave that out, or start a new run"
        )
    images, spec = images_of(job, folder.path, data)
    run = ClassifierRun(job, images, held_out_of(spec), engine.choose(job.device, job.precision))
    return perform(run, start_of(job, images), folder, True, callbacks)


def images_of(job: ClassifierJob, path: Path, data: Data | None) -> tuple[ImageData, DataSpec]:
    """The run's images, at `data` or where the run found them. Raises `TrainingError`."""
    spec = job.data if data is None else replace(job.data, source=source_of(data), place=None)
    if job.fingerprint is None and not spec.in_memory:
        raise TrainingError(f"{path} was given its images in memory: give them again as data")
    failure: DataError | None = None
    for source in sources(spec):
        try:
            images = RunData.read(replace(spec, source=source)).train
        except DataError as error:
            failure = failure or error
            continue
        if job.fingerprint not in (None, images.fingerprint):
            both = f"fingerprint {images.fingerprint}, then {job.fingerprint}"
            raise TrainingError(f"the data {spec.name} has changed since {path} began ({both})")
        return images, replace(spec, source=source)
    raise TrainingError(f"the images of {path} can't be read: {failure}; say where they are with --data")


def sources(spec: DataSpec) -> Iterator[str | Path | ImageData]:
    """Where the images may lie: as the source was spelled, or by its absolute path."""
    yield spec.source
    if spec.place and spec.place != os.fspath(str(spec.source)):
        yield spec.place


def held_out_of(spec: DataSpec) -> ImageData:
    """The images that accuracy is measured on; of images in memory the same that are trained on."""
    return spec.load("test")
