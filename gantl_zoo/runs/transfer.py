"""`transfer`: adapt a GAN to other images."""

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
from gantl_zoo.runs.prepare import from_source
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.runs.resume import check_and_resume
from gantl_zoo.runs.setting_help import with_settings
from gantl_zoo.runs.settings import (
    GENERAL,
    Data,
    RunSettings,
    TransferSettings,
    check_known,
    check_path,
    data_spec,
    measuring_of,
    open_of,
    recipe_of,
)
from gantl_zoo.strategy.auto import AUTO
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.training.callback import Callback, check_callbacks
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
    **settings: Unpack[TransferSettings],
) -> GAN:
    """Adapt `source` to `data` with a strategy, and return the model that is kept.

    That is the best model by the first metric, or the last one that the metric can't tell from it.

    Images are resized to the source's size, or to `image_size`. A source that makes images of another size,
    channel count or number of classes, or from latents of another size than `latent_dim`, is fitted to these
    (`gantl_zoo.surgery.fit`); log and lineage list where each tensor came from, and weights without a
    counterpart in the source are always trained. The model is conditional if its source is, or as
    `conditional` says. The strategy is "auto" where none is named: it is chosen for the images
    (`gantl_zoo.strategy.auto`). So are steps, batch, loss, augmentation, R1 and learning rate
    (`gantl_zoo.runs.choice`), where neither they nor a `preset` are given; the log says what was chosen and
    why. `compare_scratch` trains the same budget from scratch beside it and says who
    won (a picture alone for images in memory, or without metrics).

    `settings`, `callbacks` and errors as for `train`; `WeightsError` for a source that is damaged.
    """
    check_known(settings, TransferSettings, *GENERAL, "strategy")
    quiet = silent(quiet, progress)
    check_path("out", out)
    if resume is not None:
        return check_and_resume(
            resume, settings, name=source, data=data, strategy=strategy, callbacks=callbacks, quiet=quiet
        )
    check_callbacks(callbacks)
    run = prepare_transfer(source, data, strategy, settings)
    name = f"{short(run.job.name)}-{run.data.train.name}-{run.job.strategy}"
    folder = folder_of(run, out, name, quiet)
    result = execute(run, folder, callbacks=callbacks)
    if run.job.compare_scratch:
        compare(run, folder, result, callbacks)
    return result


def prepare_transfer(
    source: str | Path | GAN | None,
    data: Data | None,
    strategy: str | TransferStrategy | None,
    settings: TransferSettings,
) -> Prepared:
    """The run that `transfer` would execute. Raises as `transfer` does."""
    for name, value in (("source", source), ("data", data)):
        if value is None:
            raise UsageError(f"{name} must be given; only with resume=RUN it is known")
    assert source is not None and data is not None
    merged: Any = with_preset(settings.get("preset"), "transfer", {**settings, "strategy": strategy})
    return from_source(
        source,
        data_spec(data, settings),
        recipe_of("transfer", merged),
        strategy=merged.get("strategy", AUTO),
        strategy_config=merged.get("strategy_config"),
        conditional=settings.get("conditional"),
        latent_dim=settings.get("latent_dim"),
        measuring=measuring_of(settings),
        title=settings.get("title") or "",
        compare_scratch=bool(settings.get("compare_scratch")),
        choosing=open_of("transfer", settings, merged),
    )


def short(name: str) -> str:
    """A model's own name: without user, revision and the folders and number of its run."""
    path = Path(name if Path(name).exists() else name.partition("@")[0])
    own = path.parent.name if path.name == "model" and path.parent.name else path.name
    return re.sub(r"^\d{5,}-(?=.)", "", own)
