"""The recipe of a transfer, chosen for its images where nobody gave one. The guide, as code."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.model.gan import GAN
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import release_folder
from gantl_zoo.storage.schema import read_config
from gantl_zoo.strategy.auto import FAR, NEAR, novelty
from gantl_zoo.training.presets import load_preset
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.zoo import gan_named

FEW = 1_000  # images: a training from scratch on fewer is advised to augment them
COMPARED = 300  # samples of each released model


@dataclass(frozen=True, kw_only=True)
class Open:
    """What is left to choose: recipe settings that nobody gave, and the steps by a budget in minutes.

    `preset` names the preset that the given settings come from.
    """

    settings: frozenset[str] = frozenset()
    preset: str | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Line:
    """A line of the guide: a preset for images up to so many, and up to so large."""

    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # that replace the preset's
    most: float = math.inf  # images
    largest: float = math.inf  # pixels a side


# The first line that fits. Measured: ten grey images of 28×28 for 1,500 steps, 100 and 1,000 of these for
# 4,500; 100 in colour of 64×64 for 600. Where the lines are drawn between these is a guess, and so are the
# last line's steps.
GUIDE = (
    Line("few-shot", most=60, largest=32),
    Line("transfer", largest=32),
    Line("transfer-64", most=300),
    Line("transfer-64", {"steps": 2_000}),
)


def choose_recipe(recipe: Recipe, choosable: Collection[str], images: ImageData) -> tuple[Recipe, str]:
    """The recipe with the guide's values for the `choosable` settings, and in words what was chosen, and how
    to have it otherwise.

    R1 is not chosen for compiled networks, which have no second derivatives.
    """
    side = images.shape[1]
    line = next(line for line in GUIDE if len(images) <= line.most and side <= line.largest)
    guided = {**load_preset(line.preset).for_verb("transfer"), **line.settings}
    chosen = {key: value for key, value in guided.items() if key in choosable}
    if recipe.engine_config.get("compile"):
        chosen.pop("r1", None)
    if "batch" in chosen:  # so that all rounds are equal
        chosen["batch"] = math.ceil(chosen["batch"] / recipe.accumulate) * recipe.accumulate
    if not chosen:
        return recipe, ""
    said = ", ".join(f"{key} {value}" for key, value in chosen.items())
    why = f"recipe {line.preset}, for {len(images):,} images of {side}×{images.shape[2]}: {said}"
    return replace(recipe, **chosen), f"{why}\n{HOW.format(line.preset)}"


HOW = (
    "to have it otherwise: --strategy NAME, --preset NAME, any single option such as --lr, or --minutes N "
    "for as many steps as take N minutes; gantl-zoo info {} says where its numbers were measured"
)


def few_images_advice(recipe: Recipe, images: ImageData, preset: str | None) -> str:
    """What a training from scratch on few images without augmentation is told; else ""."""
    if preset or recipe.aug != "none" or len(images) >= FEW:
        return ""
    return (
        f"{len(images):,} images are few for training from scratch without augmentation: --preset few-shot "
        "augments them, and a transfer from a released model needs fewer steps"
    )


def nearness(source: GAN, images: ImageData, far: float) -> str:
    """For a source that is not near the images: which released model is nearer, or that none is near."""
    if far <= FAR:
        return ""
    found = {name: novelty(gan, images, COMPARED) for name, gan in released(source).items()}
    best = min(found, key=found.__getitem__, default="")
    if best and found[best] <= FAR and found[best] < far:
        word = "near" if found[best] <= NEAR else "nearer"
        return f"{best} is {word} ({found[best]:.2f}): gantl-zoo transfer {best} may need fewer steps"
    listed = ", ".join(f"{name} {value:.2f}" for name, value in sorted(found.items(), key=lambda it: it[1]))
    beside = f" ({listed})" if listed else ""
    return (
        f"no released model is near these images{beside}: expect a transfer to save steps more than to end "
        "better than training from scratch; --compare-scratch measures that"
    )


def released(source: GAN) -> dict[str, GAN]:
    """The bundled GANs, but for the source."""
    own = [f"gantl_zoo:{name}" for name in models.names() if models.info(name).owner == "gantl_zoo"]
    gans = [name for name in own if read_config(release_folder(name))["kind"] == "gan"]
    loaded = {name.partition(":")[2]: gan_named(name) for name in gans}
    return {name: gan for name, gan in loaded.items() if name != source.name}
