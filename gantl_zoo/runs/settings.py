"""Settings of the verbs as keyword arguments, and the typed objects that they become."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypedDict, get_args, get_type_hints

import numpy as np
from torch import Tensor
from torch.utils.data import Dataset

from gantl_zoo.data import ImageData, source_of
from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.metrics.catalogue import AUTO, named
from gantl_zoo.registry.arguments import fits, given, plain
from gantl_zoo.runs.choice import Open
from gantl_zoo.runs.job import Measuring, Networks
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training.recipe import Recipe, open_settings

MOST_SAMPLES = 10_000_000
# a name, a folder or a zip; or images in memory (`gantl_zoo.data.as_image_data`)
Data = str | Path | ImageData | Tensor | np.ndarray[Any, Any] | Sequence[Any] | Dataset[Any]


WORDS = {int: "a whole number", float: "a number", str: "a text", bool: "True or False"}


class DataSettings(TypedDict, total=False):
    """How images are read (`DataSpec`)."""

    image_size: int | None
    channels: int | None
    data_root: str | Path | None
    shots: int | None
    data_seed: int | None


class MeasuringSettings(TypedDict, total=False):
    """How a model is measured (`Measuring`)."""

    metrics: str | Sequence[str] | None
    samples: int | None
    extractor: str | None


class RecipeSettings(TypedDict, total=False):
    """How a GAN is trained (`Recipe`)."""

    steps: int | None
    batch: int | None
    accumulate: int | None
    seed: int | None
    loss: str | None
    aug: str | None
    r1: float | None
    lr: float | None
    discriminator_lr: float | None
    decay: float | None
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
    """What `train` and `transfer` have in common."""

    conditional: bool | None
    title: str | None
    preset: str | None
    minutes: float | None


class TrainSettings(RunSettings, total=False):
    """Keyword arguments of `train`."""

    discriminator: str | None
    generator_config: dict[str, Any] | None
    discriminator_config: dict[str, Any] | None


class TransferSettings(RunSettings, total=False):
    """Keyword arguments of `transfer`."""

    strategy_config: dict[str, Any] | None
    latent_dim: int | None
    compare_scratch: bool


def check_known(settings: Mapping[str, Any], kind: type, *own: str) -> None:
    """Raises `UsageError` for a setting that is neither in the TypedDict `kind` nor one of the verb's `own`
    arguments (it names the closest of all), and for a value of another type.
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


def check_path(name: str, value: Any) -> None:
    """Raises `UsageError` for a path that is neither a text nor a path."""
    if not isinstance(value, str | os.PathLike) or not os.fspath(value) or "\0" in str(value):
        raise UsageError(f"{name} must be a path, not {value!r:.80}")


def data_spec(data: Data, settings: DataSettings) -> DataSpec:
    """Which images are used."""
    chosen: DataSettings = given(settings)  # type: ignore[assignment]  # numpy's numbers become Python's
    settings = chosen
    return DataSpec(
        source=source_of(data),
        image_size=settings.get("image_size"),
        channels=settings.get("channels"),
        root=settings.get("data_root"),
        shots=settings.get("shots"),
        data_seed=settings.get("data_seed") or 0,
    )


def recipe_of(verb: str, settings: RecipeSettings) -> Recipe:
    """The recipe of a verb: its defaults, and what is given. Raises `UsageError`."""
    chosen = {key: value for key, value in settings.items() if key in RecipeSettings.__annotations__}
    return Recipe.for_verb(verb, **chosen)


def open_of(verb: str, asked: RunSettings, settings: RunSettings) -> Open:
    """What is left to choose if `asked` was given, and `settings` are these and a preset's.

    Minutes replace a preset's steps. Raises `UsageError` for minutes beside steps, or of an impossible value.
    """
    minutes = asked.get("minutes")
    if minutes is not None:
        if asked.get("steps") is not None:
            raise UsageError("steps and minutes are both given: give one, since minutes say how many steps")
        if not minutes > 0:
            raise UsageError(f"minutes must be above 0, not {minutes!r}")
    return Open(settings=open_settings(verb, settings), preset=asked.get("preset"), minutes=plain(minutes))


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
    """The number of samples. Raises `UsageError` if it is not a count, too small or too large."""
    if not fits(count, int) or not 2 <= count <= MOST_SAMPLES:
        raise UsageError(f"samples must be at least 2 and at most {MOST_SAMPLES:,}, not {count!r:.40}")
    return int(count)
