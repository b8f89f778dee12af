"""`resume`: continue a run with the settings in its folder. Other settings are refused."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from gantl_zoo.console import silent
from gantl_zoo.errors import UnknownNameError, UsageError
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.model.gan import GAN
from gantl_zoo.registry.arguments import given
from gantl_zoo.runs.agreement import agree, option_of, refusal
from gantl_zoo.runs.classify_job import KIND as CLASSIFIER
from gantl_zoo.runs.classify_resume import resume_classifier
from gantl_zoo.runs.compare import compare
from gantl_zoo.runs.execute import execute
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.prepare import from_job
from gantl_zoo.runs.relocate import find_images
from gantl_zoo.runs.settings import Data, check_path
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.callback import Callback


def resume(
    run: str | Path,
    *,
    data: Data | None = None,
    source: GAN | None = None,
    strategy: TransferStrategy | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    progress: bool | None = None,
    report: bool = True,
) -> GAN | Classifier:
    """Continue the run in the folder `run` from its newest checkpoint.

    The result equals that of an uninterrupted run. `data` is the new place of the images if they were moved.
    Images, a source or a strategy that were given as objects must be given again. `progress=False` (or
    `quiet`) prints nothing, `report=False` writes no report at the end. Raises `TrainingError` if the run
    does not exist, or if its images have changed; `Stopped` after Ctrl-C.
    """
    check_path("run", run)
    quiet = silent(quiet, progress)
    folder, config = RunFolder.open(run, quiet)
    if config.get("kind") == CLASSIFIER:
        return resume_classifier(run, data=data, callbacks=callbacks, quiet=quiet)
    return _resume(Job.from_config(config, run), folder, data, source, strategy, callbacks, report)


def check_and_resume(
    run: str | Path,
    settings: Mapping[str, Any],
    *,
    name: str | Path | GAN | None,
    data: Data | None,
    strategy: str | TransferStrategy | None = None,
    callbacks: Sequence[Callback] = (),
    quiet: bool = False,
    report: bool = True,
) -> GAN:
    """`resume` for `train` and `transfer`. Raises `UsageError` if their arguments differ from the run's own.

    `data` may be another place with the same images.
    """
    check_path("resume", run)
    folder, config = RunFolder.open(run, quiet)
    if config.get("kind") == CLASSIFIER:
        raise UsageError(f"{run} is the run of a classifier: continue it with gantl-zoo resume {run}")
    job = Job.from_config(config, run)
    check_settings(job, run, given({**settings, "name": name or None, "strategy": strategy}))
    source = name if isinstance(name, GAN) else None
    method = strategy if isinstance(strategy, TransferStrategy) else None
    return _resume(job, folder, data or None, source, method, callbacks, report)


def _resume(
    job: Job,
    folder: RunFolder,
    data: Data | None,
    source: GAN | None,
    strategy: TransferStrategy | None,
    callbacks: Sequence[Callback],
    report: bool,
) -> GAN:
    images = find_images(job.data, job.fingerprint, folder.path, data)
    try:
        run = from_job(replace(job, data=images.spec), images, source, strategy)
    except UnknownNameError as error:
        raise UnknownNameError(
            f"{error}; give {folder.path} its source or strategy again if that was given as an object"
        ) from error
    result = execute(run, folder, resume=True, callbacks=callbacks, report=report)
    if job.compare_scratch:
        compare(run, folder, result, callbacks, report)
    return result


def check_settings(job: Job, path: str | Path, requested: Mapping[str, Any]) -> None:
    """Raise `UsageError` for a requested setting that differs from the run's own."""
    own = settings_of(job)
    for key, value in requested.items():
        if key not in own or agree(key, value, own[key]):
            continue
        if key == "name":
            raise UsageError(
                f"{path} is a run of {job.name} on {job.data.name}, not of {value}: --resume continues a "
                f"run; to start from its model use gantl-zoo transfer {path} --data …"
            )
        instead = f"start from its model with gantl-zoo transfer {path} --data …"
        raise UsageError(refusal(path, option_of(key), own[key], value, instead))


def settings_of(job: Job) -> dict[str, Any]:
    """The settings of a job, by the argument names of `train` and `transfer`."""
    networks = ("name", "strategy", "strategy_config", "conditional", "latent_dim", "title")
    parts = (*networks, "compare_scratch", "preset", "minutes")
    data = ("image_size", "channels", "shots", "data_seed", "fit")
    return {
        **{key: getattr(job, key) for key in parts},
        **asdict(job.networks),
        **{key: getattr(job.data, key) for key in data},
        **asdict(job.measuring),
        **asdict(job.recipe),
    }
