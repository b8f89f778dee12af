"""Choose the recipe of a transfer for its images: the guide of docs/strategies.md, as code."""

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
from gantl_zoo.training.losses import build_loss, is_adversarial
from gantl_zoo.training.presets import formulas_of, load_preset
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.regularizers.base import Regularizer
from gantl_zoo.training.regularizers.combined import build_regularizer
from gantl_zoo.zoo import gan_named

LISTED = 2  # released models that are named if none is near
FEW = 1_000  # images; training from scratch on fewer gets the advice to augment them
MEASURED = 1.2  # distance of the farthest pair in the benchmarks; on all of them transfer beats scratch
FAST = (64, 128, 256, 512, 1024)  # pixels a side for which the generator `fast` is the default
COMPARED = 300  # samples of each released model


@dataclass(frozen=True, kw_only=True)
class Open:
    """What is left to choose: the recipe settings that were not given, and the steps for a budget in minutes.

    `preset` is the name of the preset that was given.
    """

    settings: frozenset[str] = frozenset()
    preset: str | None = None
    minutes: float | None = None


@dataclass(frozen=True)
class Line:
    """A row of the guide: a preset for at most `most` images of at most `largest` pixels a side."""

    preset: str
    settings: Mapping[str, Any] = field(default_factory=dict)  # replace those of the preset
    most: float = math.inf  # images
    largest: float = math.inf  # pixels a side


# The first row that fits is used. Measured were 10 grey images of 28×28 for 1,500 steps, 100 and 1,000 of
# them for 4,500 steps, and 100 colour images of 64×64 for 600 steps. The limits between these cases are
# guesses, and so are the steps of the last row.
GUIDE = (
    Line("few-shot", most=60, largest=32),
    Line("transfer", largest=32),
    Line("transfer-64", most=300),
    Line("transfer-64", {"steps": 2_000}),
)


def recipe_for(recipe: Recipe, choosing: Open, images: ImageData) -> tuple[Recipe, str]:
    """Set what is left to choose: the preset's formulas, other settings to the guide's values.

    Returns the recipe, and lines that explain it.
    """
    guided = choosing.settings - set(formulas_of(choosing.preset))
    recipe, why = choose_recipe(recipe, guided, images)
    recipe, values = computed(recipe, choosing, images)
    return recipe, "\n".join(filter(None, [why, values]))


def choose_recipe(recipe: Recipe, choosable: Collection[str], images: ImageData) -> tuple[Recipe, str]:
    """Set the `choosable` settings to the guide's values. Returns the recipe, and lines that explain it.

    R1 is not chosen if it is among the recipe's regularizers, nor for compiled networks, because they have no
    second derivatives. Without a discriminator neither R1 nor an augmentation is chosen.
    """
    side = images.shape[1]
    line = next(line for line in GUIDE if len(images) <= line.most and side <= line.largest)
    guided = {**load_preset(line.preset).for_verb("transfer"), **line.settings}
    chosen = {key: value for key, value in guided.items() if key in choosable}
    if recipe.engine_config.get("compile") or "r1" in recipe.regularizer.split("+"):
        chosen.pop("r1", None)
    if not is_adversarial(build_loss(recipe.loss, recipe.loss_config)):
        chosen = {key: value for key, value in chosen.items() if key not in ("aug", "r1")}
    if "batch" in chosen:  # so that it splits into equal rounds
        chosen["batch"] = math.ceil(chosen["batch"] / recipe.accumulate) * recipe.accumulate
    if not chosen:
        return recipe, ""
    listed = ", ".join(f"{key} {value}" for key, value in chosen.items())
    lines = [
        f"recipe {line.preset}, for {len(images):,} images of {side}×{images.shape[2]}: {listed}",
        f"where these values were measured: gantl-zoo info {line.preset}",
        HOW,
    ]
    return replace(recipe, **chosen), "\n".join(lines)


def computed(recipe: Recipe, choosing: Open, images: ImageData) -> tuple[Recipe, str]:
    """The recipe with the values of the preset's formulas for these images, and a line for each.

    A setting that the user gave keeps its value.
    """
    side, chosen, lines = images.shape[1], dict[str, Any](), list[str]()
    for key, formula in formulas_of(choosing.preset).items():
        if key in choosing.settings:
            chosen[key] = formula.value(side, recipe.batch)
            lines.append(
                f"{key} {shown(chosen[key])}, for {side} pixels and batch {recipe.batch}: {formula.text}"
            )
    return replace(recipe, **chosen), "\n".join(lines)


def shown(value: Any) -> str:
    """A setting's value: a fraction in few digits, anything else as Python writes it."""
    return f"{value:g}" if isinstance(value, float) else str(value)


HOW = "to change them: --strategy NAME, --preset NAME, --minutes N, or one option such as --lr"


def preset_from_scratch(images: ImageData) -> tuple[str | None, str]:
    """The preset for training without a generator's name, or None, and lines that explain it."""
    side = images.shape[1]
    if side not in FAST:
        return None, ""
    listed = "gantl-zoo info scratch-64"
    return "scratch-64", (
        f"preset scratch-64, for images of {side}×{side}: the generator fast; its recipe: {listed}\n"
        "to choose yourself, name a generator, such as dcgan, or a preset"
    )


def few_images_advice(recipe: Recipe, images: ImageData, preset: str | None) -> str:
    """A warning for training from scratch on few images without augmentation, or else an empty string."""
    augments = recipe.aug != "none" or not is_adversarial(build_loss(recipe.loss, recipe.loss_config))
    if preset or augments or len(images) >= FEW:
        return ""
    return (
        f"{len(images):,} images are few for training from scratch without augmentation: use --preset "
        "few-shot, which augments them, or gantl-zoo transfer, which needs fewer steps"
    )


def without_effect(recipe: Recipe) -> str:
    """A note on the settings that need a discriminator if the loss trains none, or else an empty string."""
    if is_adversarial(build_loss(recipe.loss, recipe.loss_config)):
        return ""
    parts = build_regularizer(recipe.regularizer, recipe.regularizer_config, recipe.r1).parts
    given = [] if recipe.aug == "none" else [f"aug {recipe.aug}"]
    given += [] if recipe.discriminator_lr is None else [f"discriminator_lr {recipe.discriminator_lr:g}"]
    given += [name for name, part in parts.items() if name != "none" and not acts_on_generator(part)]
    note = f"the loss {recipe.loss} trains no discriminator"
    return f"{note}, so these settings have no effect: {', '.join(given)}" if given else note


def acts_on_generator(part: Regularizer) -> bool:
    """Whether a regularizer adds terms to the generator's loss, or replaces its latents."""
    return part.latent_space or type(part).generator is not Regularizer.generator


def nearness(source: GAN, images: ImageData, far: float) -> str:
    """Advice if the source is `far` from the images, or else an empty string.

    It names a released model that is nearer, or says that none is near.
    """
    if far <= FAR:
        return ""
    distances = {name: novelty(gan, images, COMPARED) for name, gan in released(source).items()}
    best = min(distances, key=distances.__getitem__, default="")
    if best and distances[best] <= FAR and distances[best] < far:
        word = "near" if distances[best] <= NEAR else "nearer"
        return f"{best} is {word} ({distances[best]:.2f}): gantl-zoo transfer {best} may need fewer steps"
    if far <= MEASURED:
        return ""
    nearest_first = sorted(distances.items(), key=lambda item: item[1])[:LISTED]
    listed = ", ".join(f"{name} {value:.2f}" for name, value in nearest_first)
    others = f" ({listed})" if listed else ""
    return (
        f"no released model is near these images{others}\n"
        "transfer was not measured at such distances: compare with --compare-scratch"
    )


def released(source: GAN) -> dict[str, GAN]:
    """The bundled GANs by name, without the source."""
    own = [f"gantl_zoo:{name}" for name in models.names() if models.info(name).owner == "gantl_zoo"]
    gans = [name for name in own if read_config(release_folder(name))["kind"] == "gan"]
    loaded = {name.partition(":")[2]: gan_named(name) for name in gans}
    return {name: gan for name, gan in loaded.items() if name != source.name}
