"""Choose what a classifier's run leaves open: size and channels of the images, strategy and recipe.

The choices are for pretrained networks of timm. For other sources the defaults of `ClassifierRecipe` hold.
"""

from __future__ import annotations

import os
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData, is_name
from gantl_zoo.data.sizes import common_size
from gantl_zoo.data.sources import chosen
from gantl_zoo.model.classifier import Classifier
from gantl_zoo.runs.spec import DataSpec
from gantl_zoo.training.classifier_recipe import ClassifierRecipe

AUTO = "auto"
USUAL = "full"  # the strategy for other sources
LARGEST = 224  # pixels; the size of photos unless --image-size is given
TIMM = "timm:"


PROBE = "freeze"  # the strategy for pretrained networks
# Recipes of the probe and of all other strategies, measured on 100 and 1,000 colour images of ten classes
# (benchmarks/classifiers-imagenet.md). A set of at most `FEW` images, a guess between the two, has few steps
# an epoch; then the probe has a higher learning rate, and the others have more epochs.
FEW = 300
COMMON: dict[str, Any] = {"epochs": 10, "batch": 32, "lr": 1e-3, "flip": True}
RECIPES = {True: COMMON | {"shift": 0}, False: COMMON | {"shift": 2}}
FEW_IMAGES = {True: RECIPES[True] | {"lr": 3e-3}, False: RECIPES[False] | {"epochs": 30}}


def is_timm(base: Classifier) -> bool:
    """Whether a classifier's network is one of timm's."""
    return str(base.parts["backbone"]["name"]).startswith(TIMM)


def choose_size(spec: DataSpec) -> tuple[DataSpec, str]:
    """Set the image size of a folder or zip, if none is given and its images need one. Returns a note."""
    if spec.image_size is not None or spec.in_memory or is_name(spec.source):
        return spec, ""
    place, _ = chosen(os.path.expanduser(spec.source))  # type: ignore[arg-type]  # not in memory
    size = common_size(Path(place), LARGEST) if os.path.exists(place) else None
    if size is None:
        return spec, ""
    return replace(spec, image_size=size), (
        f"image size {size}, chosen for images of different or large sizes; to change it: --image-size"
    )


def choose_channels(spec: DataSpec, images: ImageData, channels: int) -> tuple[DataSpec, ImageData, str]:
    """Convert grey images for a colour network, unless the channels are given. Returns a note."""
    if spec.channels is not None or images.shape[0] != 1 or channels != 3:
        return spec, images, ""
    images = images.fit(None, channels)
    return replace(spec, channels=channels), images, "grey images are converted to 3 equal channels"


def choose_recipe(
    recipe: ClassifierRecipe, choosable: Collection[str], images: ImageData, strategy: str | None
) -> tuple[str, ClassifierRecipe, str]:
    """The strategy, the recipe with the guide's values for the `choosable` settings, and a note on both."""
    strategy_is_probe = strategy in (None, PROBE)
    recipes = FEW_IMAGES if len(images) <= FEW else RECIPES
    settings = {k: v for k, v in recipes[strategy_is_probe].items() if k in choosable}
    listed = ({} if strategy else {"strategy": PROBE}) | settings
    if not listed:
        return strategy or PROBE, recipe, ""
    words = ", ".join(f"{key} {value}" for key, value in listed.items())
    note = f"chosen for a pretrained network and {len(images):,} images: {words}"
    if settings.get("flip"):
        note += "; --no-flip if left and right differ in your classes, as in letters"
    return strategy or PROBE, replace(recipe, **settings), note
