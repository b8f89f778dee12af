"""The settings of the verbs as keyword arguments, and their conversion to typed objects."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, get_args, get_type_hints

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from gantl_zoo.data import CROP, ImageData, source_of
from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.metrics.catalogue import AUTO, named
from gantl_zoo.registry.arguments import fits, given, plain
from gantl_zoo.runs.choice import Open
from gantl_zoo.runs.job import Networks
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training.callback import check_callbacks
from gantl_zoo.training.presets import formulas_of
from gantl_zoo.training.recipe import Recipe, open_settings

GENERAL = ("data", "resume", "callbacks", "out", "quiet", "progress")  # arguments of all training verbs
MOST_SAMPLES = 10_000_000
# a data name, a folder or a zip, or images in memory (`gantl_zoo.data.as_image_data`)
Data = str | Path | ImageData | Tensor | np.ndarray[Any, Any] | Sequence[Any] | Dataset[Any]

WORDS = {int: "a whole number", float: "a number", str: "a string", bool: "True or False"}


class ImageSettings(TypedDict, total=False):
    """How images are read, apart from their size (`DataSpec`)."""

    channels: int | None
    data_root: str | Path | None
    shots: int | None
    data_seed: int | None
    fit: str | None


class DataSettings(ImageSettings, total=False):
    """How images are read (`DataSpec`)."""

    image_size: int | None


class MeasuringSettings(TypedDict, total=False):
    """How a model is measured (`Measuring`)."""

    metrics: str | Sequence[str] | None
    samples: int | None
    extractor: str | None


class EvaluateSettings(MeasuringSettings, ImageSettings, total=False):
    """Keyword arguments of `evaluate`. The model determines the image size."""


class RecipeSettings(TypedDict, total=False):
    """How a GAN is trained (`Recipe`)."""

    steps: int | None
    batch: int | None
    accumulate: int | None
    seed: int | None
    loss: str | None
    loss_config: dict[str, Any] | None
    aug: str | None
    aug_config: dict[str, Any] | None
    r1: float | None
    regularizer: str | None
    regularizer_config: dict[str, Any] | None
    lr: float | None
    discriminator_lr: float | None
    decay: float | None
    final: dict[str, float] | None
    beta1: float | None
    beta2: float | None
    ema_images: int | None
    precision: str | None
    device: str | None
    engine_config: dict[str, Any] | None
    skip_limit: int | None
    rollback_limit: int | None
    on_collapse: str | None
    watch_every: int | None
    log: str | None
    log_every: int | None
    metrics_every: int | None
    checkpoint_every: int | None


class RunSettings(DataSettings, MeasuringSettings, RecipeSettings, total=False):
    """Keyword arguments of both `train` and `transfer`.

    `conditional`: whether the model is conditioned on the classes of the data. By default a new model is not,
    and a transferred one is if its source is.
    `title`: name of the model. By default the name of the run's folder.
    `preset`: name of a recipe (`gz.presets.names()`), for settings that are not given.
    `minutes`: training time on this machine, from which the number of steps follows. Replaces `steps`.
    """

    conditional: bool | None
    title: str | None
    preset: str | None
    minutes: float | None


class TrainSettings(RunSettings, total=False):
    """Keyword arguments of `train`.

    `discriminator`: name of a registered discriminator. By default it is the generator's counterpart.
    `generator_config`: arguments of the generator's builder.
    `discriminator_config`: arguments of the discriminator's builder.
    """

    discriminator: str | None
    generator_config: dict[str, Any] | None
    discriminator_config: dict[str, Any] | None


class TransferSettings(RunSettings, total=False):
    """Keyword arguments of `transfer`.

    `strategy_config`: arguments of the strategy.
    `discriminator`: name of a registered discriminator, which starts with random weights. By default the
    source's own is trained further.
    `discriminator_config`: arguments of its builder.
    `latent_dim`: size of the latent vector. By default that of the source.
    `compare_scratch`: also train from scratch with the same settings, and compare both models.
    """

    strategy_config: dict[str, Any] | None
    discriminator: str | None
    discriminator_config: dict[str, Any] | None
    latent_dim: int | None
    compare_scratch: bool


def check_known(settings: Mapping[str, Any], kind: type, *own: str) -> None:
    """Raise `UsageError` for an unknown setting, with the closest known one, or a value of the wrong type.

    The settings in the TypedDict `kind` and the verb's `own` arguments are known.
    """
    known = [*own, *kind.__annotations__]
    for key in sorted(set(settings) - set(known)):
        raise UsageError(unknown("setting", key, known))
    types = get_type_hints(kind)
    for key, value in given(settings).items():
        if not fits(value, types[key]):
            raise UsageError(f"{key} must be {spelled(types[key])}, not {value!r:.80}")


def spelled(kind: Any) -> str:
    """A type in words: `int | None` is "a whole number"."""
    kinds = [one for one in get_args(kind) or (kind,) if one is not type(None)]
    return " or ".join(WORDS.get(one, str(one)) for one in kinds)


def check_run(settings: Mapping[str, Any], kind: type, *own: str, out: Any, callbacks: Any) -> None:
    """Raise `UsageError` for arguments of `train` or `transfer` that are not valid; see `check_known`."""
    check_known(settings, kind, *GENERAL, *own)
    check_path("out", out)
    check_callbacks(callbacks)


def check_path(name: str, value: Any) -> None:
    """Raise `UsageError` for a value that is not a valid path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in str(value):
        raise UsageError(f"{name} must be a path, not {value!r:.80}")


def data_spec(data: Data, settings: ImageSettings) -> DataSpec:
    """The data specification of a verb's settings."""
    chosen: DataSettings = given(settings)  # type: ignore[assignment]  # converts numpy numbers
    return DataSpec(
        source=source_of(data),
        image_size=chosen.get("image_size"),
        channels=chosen.get("channels"),
        root=chosen.get("data_root"),
        shots=chosen.get("shots"),
        data_seed=chosen.get("data_seed") or 0,
        fit=chosen.get("fit") or CROP,
    )


def recipe_of(verb: str, settings: RecipeSettings) -> Recipe:
    """The recipe of a verb: its defaults, replaced by the given settings. Raises `UsageError`."""
    chosen = {key: value for key, value in settings.items() if key in RecipeSettings.__annotations__}
    return Recipe.for_verb(verb, **chosen)


def open_of(verb: str, asked: RunSettings, settings: RunSettings) -> Open:
    """What is left to choose. `asked` are the given settings, `settings` include those of a preset.

    Minutes replace the steps of a preset. Raises `UsageError` if steps are also given, or for minutes that
    are not positive.
    """
    minutes = asked.get("minutes")
    if minutes is not None:
        if asked.get("steps") is not None:
            raise UsageError(
                "steps and minutes are both given: give one of them, since minutes determine the steps"
            )
        if not minutes > 0:
            raise UsageError(f"minutes must be above 0, not {minutes!r}")
    preset = asked.get("preset")
    formulas = [key for key in formulas_of(preset) if asked.get(key) is None]
    left = open_settings(verb, settings) | set(formulas)
    return Open(settings=left, preset=preset, minutes=plain(minutes))


def measuring_of(settings: MeasuringSettings) -> Measuring:
    """How a run's model is measured. Raises `UsageError`."""
    usual = Measuring()
    metrics, samples = settings.get("metrics"), settings.get("samples")
    return Measuring(
        metrics=usual.metrics if metrics is None else named(metrics),
        samples=usual.samples if samples is None else check_samples(samples),
        extractor=settings.get("extractor") or AUTO,
    )


def networks_of(settings: TrainSettings) -> Networks:
    """The networks of a training from scratch."""
    return Networks(
        discriminator=settings.get("discriminator"),
        generator_config=settings.get("generator_config") or {},
        discriminator_config=settings.get("discriminator_config") or {},
    )


def check_samples(count: Any) -> int:
    """Return the number of samples. Raises `UsageError` if it is not an integer in the valid range."""
    if not fits(count, int) or not 2 <= count <= MOST_SAMPLES:
        raise UsageError(f"samples must be at least 2 and at most {MOST_SAMPLES:,}, not {count!r:.40}")
    return int(count)
