"""`transfer`: fine-tune a GAN on other images."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from typing_extensions import Unpack

from gantl_zoo.console import silent
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.compare import compare
from gantl_zoo.runs.execute import execute, folder_of
from gantl_zoo.runs.job import Networks
from gantl_zoo.runs.prepare import from_source
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.runs.resume import check_and_resume
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import (
    Data,
    RunSettings,
    TransferSettings,
    check_run,
    data_spec,
    measuring_of,
    open_of,
    recipe_of,
)
from gantl_zoo.strategy.auto import AUTO
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.callback import Callback
from gantl_zoo.training.presets import with_preset
from gantl_zoo.training.recipe import VERBS, Recipe


@with_settings(TransferSettings, Recipe, RunSettings, TransferSettings, **VERBS["transfer"])
def transfer(
    source: str | Path | GAN | None = None,
    *,
    data: Data | None = None,
    strategy: str | TransferStrategy | None = None,
    resume: str | Path | None = None,
    callbacks: Sequence[Callback] = (),
    out: str | Path = "runs",
    quiet: bool = False,
    progress: bool | None = None,
    report: bool = True,
    **settings: Unpack[TransferSettings],
) -> GAN:
    """Fine-tune `source` on `data` with a strategy, and return the kept model.

    The newest model whose first metric lies within the confidence interval of the best value is kept.

    Images are resized to the source's size, or to `image_size`. The source is fitted to images of another
    size, channel count or number of classes, and to another `latent_dim` (`gantl_zoo.surgery.fit`). Log and
    lineage list the origin of each tensor; weights without a counterpart in the source are always trained.
    By default the model is class-conditional if its source is; `conditional` changes that.

    The default strategy is "auto": it is chosen for the images (`gantl_zoo.strategy.auto`). Steps, batch,
    loss, augmentation, R1 and learning rate are chosen too (`gantl_zoo.runs.choice`), unless they or a
    `preset` are given; the log gives the choice and the reasons. `compare_scratch` also trains a from-scratch
    baseline for as many steps and compares both, only by a picture if nothing is measured.

    `settings`, `callbacks` and errors are as for `train`. Also raises `WeightsError` for a damaged source.
    """
    check_run(settings, TransferSettings, "strategy", "report", out=out, callbacks=callbacks)
    quiet = silent(quiet, progress)
    if resume is not None:
        given: Any = {"name": source, "data": data, "strategy": strategy, "callbacks": callbacks}
        return check_and_resume(resume, settings, **given, quiet=quiet, report=report)
    run = prepare_transfer(source, data, strategy, settings)
    folder = folder_of(run, out, run_name(run), quiet)
    result = execute(run, folder, callbacks=callbacks, report=report)
    if run.job.compare_scratch:
        compare(run, folder, result, callbacks, report)
    return result


def prepare_transfer(
    source: str | Path | GAN | None,
    data: Data | None,
    strategy: str | TransferStrategy | None,
    settings: TransferSettings,
) -> Prepared:
    """Prepare the run that `transfer` executes. Raises as `transfer` does."""
    for name, value in (("source", source), ("data", data)):
        if value is None:
            raise UsageError(f"{name} must be given, unless resume=RUN continues a run")
    assert source is not None and data is not None
    merged: Any = with_preset(settings.get("preset"), "transfer", {**settings, "strategy": strategy})
    return from_source(
        source,
        data_spec(data, settings),
        recipe_of("transfer", merged),
        strategy=merged.get("strategy", AUTO),
        strategy_config=merged.get("strategy_config"),
        networks=Networks(
            discriminator=merged.get("discriminator"),
            discriminator_config=merged.get("discriminator_config") or {},
        ),
        conditional=settings.get("conditional"),
        latent_dim=settings.get("latent_dim"),
        measuring=measuring_of(settings),
        title=settings.get("title") or "",
        compare_scratch=bool(settings.get("compare_scratch")),
        choosing=open_of("transfer", settings, merged),
    )


def run_name(run: Prepared) -> str:
    """The name of a transfer's run folder: source, data set and strategy."""
    return f"{short(run.job.name)}-{run.data.train.name}-{run.job.strategy}"


def short(name: str) -> str:
    """The last part of a model's name or path, without user, revision, and number of its run."""
    path = Path(name if Path(name).exists() else name.partition("@")[0])
    own = path.parent.name if path.name == "model" and path.parent.name else path.name
    return re.sub(r"^\d{5,}-(?=.)", "", own)
