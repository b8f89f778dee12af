"""`train`: train a GAN from scratch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from gantl_zoo.console import silent
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.choice import preset_from_scratch
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.prepare import from_scratch
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.runs.resume import check_and_resume
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import (
    Data,
    RunSettings,
    TrainSettings,
    check_run,
    data_spec,
    measuring_of,
    networks_of,
    open_of,
    recipe_of,
)
from gantl_zoo.runs.spec import RunData
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.presets import with_preset
from gantl_zoo.training.recipe import VERBS, Recipe

NETWORK_SETTINGS = ("preset", "generator_config", "discriminator", "discriminator_config")


@with_settings(TrainSettings, Recipe, RunSettings, TrainSettings, **VERBS["train"])
def train(
    generator: str | None = None,
    *,
    data: Data | None = None,
    resume: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path = "runs",
    quiet: bool = False,
    progress: bool | None = None,
    report: bool = True,
    **settings: Unpack[TrainSettings],
) -> GAN:
    """Train a GAN from scratch on `data`, and return the kept model.

    The newest model whose first metric lies within the confidence interval of the best value is kept.

    `data` is a data name, a folder or a zip of images, or images in memory. `settings` convert the images
    (`image_size` in pixels, `channels`, `shots`, …) and choose the networks (`discriminator`,
    `generator_config`, …), the training (the fields of `Recipe`: steps, batch, lr, …) and the metrics. The
    default generator is "dcgan". If no network and no preset is given, images of 64, 128, 256, 512 or 1,024
    pixels a side get the preset "scratch-64", with the generator "fast". A `conditional` model is
    conditioned on the classes of the data. A `preset` (`gz.presets.names()`) sets what is not given.
    `minutes` replaces `steps`: the run has as many steps as this machine takes in that time. `callbacks` are
    called during training (`Callback`). The run writes to a new numbered folder in `out`. With
    `progress=False` (or `quiet`) nothing is printed; messages go only to the logger `gantl_zoo`.
    At the end the run writes `report.html`, unless `report=False`.

    `resume` continues the run in a folder; other arguments must agree with the settings of that run.

    Raises `UnknownNameError`, `UsageError` or `DataError` for invalid arguments or images, before a folder
    is created; `TrainingError` if a run can't be written or resumed; `Stopped` after Ctrl-C, with the command
    that continues the run.
    """
    check_run(settings, TrainSettings, "report", out=out, callbacks=callbacks)
    quiet = silent(quiet, progress)
    how: Any = {"callbacks": callbacks, "report": report}
    if resume is not None:
        return check_and_resume(resume, settings, name=generator, data=data, quiet=quiet, **how)
    run = prepare_train(generator, data, settings)
    return execute(run, folder_of(run, out, f"{run.job.name}-{run.data.train.name}", quiet), **how)


def prepare_train(generator: str | None, data: Data | None, settings: TrainSettings) -> Prepared:
    """Prepare the run that `train` executes. Raises as `train` does."""
    if data is None:
        raise UsageError("data must be given, unless resume=RUN continues a run")
    images, why = None, ""
    if generator is None and not any(settings.get(key) for key in NETWORK_SETTINGS):
        settings, images, why = chosen_for(data, settings)
    merged: Any = with_preset(settings.get("preset"), "train", {**settings, "generator": generator})
    return from_scratch(
        merged.get("generator", "dcgan"),
        data_spec(data, merged),
        recipe_of("train", merged),
        networks=networks_of(merged),
        conditional=merged.get("conditional"),
        measuring=measuring_of(settings),
        title=settings.get("title") or "",
        choosing=open_of("train", settings, merged),
        data=images,
        why=why,
    )


def chosen_for(data: Data, settings: TrainSettings) -> tuple[TrainSettings, RunData, str]:
    """The settings with the preset for these images, the images, and lines that explain the choice."""
    depending = ("final", "regularizer_config")  # on settings of the preset
    early: Any = {key: value for key, value in settings.items() if key not in depending}
    open_of("train", early, early)  # errors before the images are read
    recipe_of("train", early)
    images = RunData.read(data_spec(data, early))
    preset, why = preset_from_scratch(images.train)
    chosen: TrainSettings = {**settings, "preset": preset}
    if preset and (settings.get("engine_config") or {}).get("compile") and settings.get("r1") is None:
        chosen["r1"] = 0.0  # compiled networks have no second derivatives
    return chosen, images, why
