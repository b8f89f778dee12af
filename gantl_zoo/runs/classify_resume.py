"""Resume a classifier's run, bit for bit on one CPU."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.classify_job import ClassifierJob
from gantl_zoo.runs.classify_run import ClassifierRun, differing, perform, start_of
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
    images = find_images(job.data, job.fingerprint, folder.path, data)
    held_out = held_out_of(images.spec)
    run = ClassifierRun(job, images.train, held_out, engine.choose(job.device, job.precision))
    return perform(run, start_of(job, images.train), folder, True, callbacks)


def held_out_of(spec: DataSpec) -> ImageData:
    """The images that accuracy is measured on; of images in memory the same that are trained on."""
    return spec.load("test")
