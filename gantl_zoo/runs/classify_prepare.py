"""Prepare a classifier's run: check its settings, read its images, load its source, choose what is open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.registry.arguments import given
from gantl_zoo.runs.classify_choice import (
    TIMM,
    USUAL,
    choose_channels,
    choose_recipe,
    choose_size,
    is_timm,
)
from gantl_zoo.runs.classify_job import ClassifierJob, ClassifierSettings
from gantl_zoo.runs.classify_resume import held_out_of
from gantl_zoo.runs.classify_run import Base, ClassifierRun, base_of
from gantl_zoo.runs.settings import Data, data_spec
from gantl_zoo.runs.spec import DataSpec, RunData
from gantl_zoo.storage import schema
from gantl_zoo.storage.untrusted import storable
from gantl_zoo.training import engine
from gantl_zoo.training.classifier_recipe import CHOSEN, ClassifierRecipe
from gantl_zoo.training.launcher import launched

BY_CLASS = "class"  # the `split_by` of classifiers


def prepared(
    verb: str, name: str, data: Data | None, own: Mapping[str, Any], settings: ClassifierSettings
) -> ClassifierRun:
    """Prepare a run: check its settings and read its images. Raises `UsageError` and `DataError`."""
    check(data, name, settings)
    assert data is not None
    chosen, spec = given(settings), data_spec(data, settings)
    recipe = ClassifierRecipe(
        **{f.name: chosen[f.name] for f in fields(ClassifierRecipe) if f.name in chosen}
    )
    others = {key: chosen[key] for key in ("device", "precision", "title") if key in chosen}
    storable(spec.name, "the option", DataError)
    machine = engine.choose(**{key: others[key] for key in ("device", "precision") if key in others})
    timm = registry.backbones.spelled(name).startswith(TIMM)
    base = base_of(name, 0) if verb == "transfer" and not timm else None
    spec = replace(spec, split_by=split_of(spec, base, own))
    timm = timm or (base is not None and is_timm(base.model))
    spec, size_note = choose_size(spec) if timm else (spec, "")
    images = RunData.read(spec).train
    checked(images)
    channels_note = ""
    if base is not None:
        spec, images, channels_note = choose_channels(spec, images, base.model.channels)
    strategy, recipe_note = given(own), ""
    if verb == "transfer":
        strategy, recipe, recipe_note = with_choices(strategy, recipe, chosen, images, timm=timm)
    job = ClassifierJob(verb=verb, name=name, data=spec, recipe=recipe, **strategy, **others)
    job = replace(job, fingerprint=images.fingerprint)
    notes = tuple(note for note in (size_note, channels_note, recipe_note) if note)
    return ClassifierRun(job, images, held_out_of(spec, images), machine, base, notes)


def split_of(spec: DataSpec, base: Base | None, own: Mapping[str, Any]) -> str:
    """How images are held out: by class, unless a source was trained on the same folder with another split.

    A GAN always was trained with the split by content.
    """
    if own.get("gan") or (base is not None and base.is_gan):
        return spec.split_by
    earlier = {} if base is None else base.model.lineage.get("data", {})
    if earlier.get("name") == Path(spec.name).name:
        return str(earlier.get("split_by", spec.split_by))
    return BY_CLASS


def check(data: Data | None, name: str, settings: ClassifierSettings) -> None:
    """Raise `UsageError` for what makes a run impossible, whatever its images are."""
    if size := launched():
        raise UsageError(
            f"a classifier is trained in one process: start it without a launcher, or unset {size}"
        )
    if data is None:
        raise UsageError("data must be given, unless resume=RUN continues a run")
    if wrong := schema.title(settings.get("title") or ""):
        raise UsageError(f"title {wrong}")
    storable(name, "the source")


def checked(images: ImageData) -> None:
    """Raise `DataError` for images without labels, or with class names that can't be stored."""
    if images.labels is None:
        raise DataError(f"{images.name} has no labels: sort its images into two or more class folders")
    for one in images.classes:
        storable(one, f"the class of {images.name}", DataError)


def with_choices(
    own: dict[str, Any],
    recipe: ClassifierRecipe,
    asked: Mapping[str, Any],
    images: ImageData,
    *,
    timm: bool,
) -> tuple[dict[str, Any], ClassifierRecipe, str]:
    """The strategy and the recipe of a transfer, with the guide's values for what was not `asked`."""
    if not timm:
        return {"strategy": USUAL, **own}, recipe, ""
    strategy, recipe, note = choose_recipe(recipe, set(CHOSEN) - set(asked), images, own.get("strategy"))
    return own | {"strategy": strategy}, recipe, note
