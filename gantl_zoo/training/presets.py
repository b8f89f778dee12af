"""`Preset`: a recipe with a name, and the built-in presets. Imports no torch.

A plug-in registers its own with entry points of the group `gantl_zoo.presets`, a script with

    @gz.presets.register("mine")
    def mine() -> gz.Preset: ...

or with `gz.presets.register("mine", gz.Preset(...))`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from gantl_zoo.errors import PluginError, UsageError, unknown
from gantl_zoo.registry.builtins import presets
from gantl_zoo.training.recipe import Recipe

# Settings that only one verb has.
OF_VERBS: dict[str, tuple[str, ...]] = {
    "train": (
        "generator",
        "discriminator",
        "generator_config",
        "discriminator_config",
        "image_size",
        "conditional",
    ),
    "transfer": ("strategy", "strategy_config"),
}

# For each of these settings: its default, and the settings of a preset that are only valid with its value.
DEPENDING = {
    "generator": ("dcgan", ("generator_config", "discriminator", "discriminator_config")),
    "discriminator": ("dcgan", ("discriminator_config",)),
    "strategy": (None, ("strategy_config",)),
    "loss": (Recipe.loss, ("loss_config",)),
    "aug": (Recipe.aug, ("aug_config",)),
    "regularizer": (Recipe.regularizer, ("regularizer_config",)),
}


USUAL_SIZE = 64  # pixels a side, for formulas before the images are read


@dataclass(frozen=True)
class Formula:
    """A setting of a preset that depends on the images: `value(image_size, batch)`, described by `text`."""

    text: str
    value: Callable[[int, int], Any]


@dataclass(frozen=True, kw_only=True)
class Preset:
    """A recipe with a name. Raises `UsageError` for a setting that neither verb has.

    `settings` are keyword arguments of `train` and `transfer`; a verb takes those that it has. A value may be
    a `Formula`, for a setting of `Recipe` other than `batch`. `measured` says where the recipe was measured,
    `reasons` where or why for single settings.
    """

    description: str
    settings: Mapping[str, Any]
    measured: str
    reasons: Mapping[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        known = [f.name for f in fields(Recipe)] + [name for names in OF_VERBS.values() for name in names]
        for key in [*self.settings, *self.reasons]:
            if key not in known:
                raise UsageError(f"preset: {unknown('setting', key, known)}")
        allowed = [f.name for f in fields(Recipe) if f.name != "batch"]
        for key in self.formulas:
            if key not in allowed:
                raise UsageError(
                    f"preset: {key} can't be a Formula: formulas are for settings of Recipe, and not for "
                    "batch, which they depend on"
                )

    @property
    def formulas(self) -> dict[str, Formula]:
        """The settings that depend on the images."""
        return {key: value for key, value in self.settings.items() if isinstance(value, Formula)}

    def for_verb(self, verb: str) -> dict[str, Any]:
        """The preset's settings for "train" or "transfer". Formulas have the values for 64 pixels a side."""
        others = {name for other, names in OF_VERBS.items() if other != verb for name in names}
        batch = self.settings.get("batch", Recipe.batch)
        usual = {key: formula.value(USUAL_SIZE, batch) for key, formula in self.formulas.items()}
        return {key: value for key, value in {**self.settings, **usual}.items() if key not in others}

    def describe(self) -> list[tuple[str, Any, str]]:
        """A row for each setting: its name, its value, and where that was measured."""
        values = {**self.settings, **{key: formula.text for key, formula in self.formulas.items()}}
        return [(key, value, self.reasons.get(key, self.measured)) for key, value in values.items()]


def load_preset(name: str) -> Preset:
    """The preset of that name. Raises `UnknownNameError`, or `PluginError` for an object of another kind."""
    preset = presets.load(name)
    if callable(preset):
        preset = preset()
    if not isinstance(preset, Preset):
        raise PluginError(f"preset {name!r} is a {type(preset).__name__}, not a gz.Preset")
    return preset


def formulas_of(name: str | None) -> dict[str, Formula]:
    """The settings of a preset that depend on the images; none without a preset."""
    return {} if name is None else load_preset(name).formulas


def with_preset(name: str | None, verb: str, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The preset's settings for a verb, replaced by the given `settings` that are not None.

    Arguments of a network are merged one by one. If another network or strategy than the preset's is given,
    the preset's arguments for it are ignored. Raises `UnknownNameError`.
    """
    asked = {key: value for key, value in settings.items() if value is not None}
    if name is None:
        return asked
    chosen = load_preset(name).for_verb(verb)
    for part, (usual, depending) in DEPENDING.items():
        if part in asked and asked[part] != chosen.get(part, usual):
            chosen = {key: value for key, value in chosen.items() if key not in depending}
    if "final" in chosen:
        chosen["final"] = {
            key: end for key, end in chosen["final"].items() if key not in settled(asked, chosen)
        }
    if asked.get("r1") == 0 and "regularizer_config" in chosen:  # r1 is not used, so it takes no arguments
        kept = chosen["regularizer_config"].items()
        chosen["regularizer_config"] = {key: value for key, value in kept if not key.startswith("r1.")}
    merged = {key: {**chosen[key], **asked[key]} for key in chosen if isinstance(asked.get(key), Mapping)}
    return chosen | asked | merged


def settled(asked: Mapping[str, Any], chosen: Mapping[str, Any]) -> set[str]:
    """The settings that a preset's `final` must not move, because the user gave their value."""
    fixed = set(asked)
    if "p" in asked.get("aug_config", {}) or asked.get("aug", chosen.get("aug")) != chosen.get("aug"):
        fixed.add("aug_p")
    return fixed


TABLE = "benchmarks/transfer.md: three pairs of grey 28×28 images, three seeds"
SHORT_TABLE = "benchmarks/transfer-short.md: three pairs of grey 28×28 images, three seeds"
DRAWINGS = "benchmarks/transfer-colour.md: drawn faces, 64×64 in colour, to 100 images of three other sets"
GREY = {"batch": 32, "loss": "non-saturating", "aug": "diffaugment", "r1": 0.5, "lr": 8e-4}

few_shot = Preset(
    description="Adapt or train with at most about 60 small images.",
    settings={"steps": 1_500} | GREY,
    measured=SHORT_TABLE,
    reasons={
        "steps": f"{SHORT_TABLE}; longer runs were not measured with ten images",
        "lr": "four times the default; benchmarks/README.md compares rates on digits",
        "loss": f"{SHORT_TABLE}; other losses are compared on digits in benchmarks/README.md",
    },
)

transfer = Preset(
    description="Adapt a GAN to 100 small images or more.",
    settings={"steps": 4_500} | GREY,
    measured=TABLE,
    reasons={
        "steps": f"{TABLE}; distances still fall until about this step",
        "aug": "benchmarks/README.md: at least as good as adaptive augmentation in 4,500 steps",
    },
)

transfer_64 = Preset(
    description="Adapt a GAN to images of more than 32 pixels a side.",
    settings={
        "steps": 600,
        "batch": 32,
        "loss": "relativistic",
        "aug": "diffaugment",
        "r1": 1.0,
        "lr": 4e-4,
    },
    measured=DRAWINGS,
    reasons={"steps": f"{DRAWINGS}; distances still fall until about this step"},
)

fast = Preset(
    description="Adapt a GAN in a fifth of the usual steps.",
    settings=GREY | {"steps": 900, "aug": "ada", "lr": 1.6e-3},
    measured=(
        "benchmarks/README.md, Scratch's best in a fifth of its steps: 1,000 digits, three seeds; on clothes "
        "it does not reach scratch's best"
    ),
)

quality = Preset(
    description="Train from scratch on tens of thousands of small images.",
    settings={
        "discriminator_config": {"flat": 1},
        "steps": 20_000,
        "batch": 128,
        "r1": 0.5,
        "lr": 8e-4,
        "decay": 0.5,
        "ema_images": 50_000,
    },
    measured="model_cards/dcgan-mnist.md: the recipe of dcgan-mnist, one run",
    reasons={
        "discriminator_config": "model_cards/dcgan-mnist.md: one more block covers a whole digit",
        "steps": "model_cards/dcgan-mnist.md: the curve is flat from 18,000 steps on",
        "decay": "model_cards/dcgan-fashion-mnist.md, one run",
    },
)

scratch_64 = Preset(
    description="Train from scratch on images of 64 pixels a side or more, without checkerboard patterns.",
    settings={
        "generator": "fast",
        "generator_config": {"width": 12},
        "discriminator": "dcgan",
        "discriminator_config": {"width": 32},
        "batch": 32,
        "loss": "relativistic",
        "aug": "diffaugment",
        "r1": 1.0,
        "lr": 4e-4,
    },
    measured="benchmarks/README.md, Families at 64×64: drawn faces, five minutes of one core, one run each",
)

article = Preset(
    description="The DCGAN of the article that this project began with, with its errors fixed.",
    settings={
        "generator": "dcgan",
        "generator_config": {"width": 64},
        "discriminator": "dcgan",
        "discriminator_config": {"width": 64},
        "batch": 128,
        "loss": "non-saturating",
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "ema_images": 0,
    },
    measured="benchmarks/opponents/article.py: its networks and its speed; its quality was not measured",
    reasons={
        "beta2": "the default of Keras",
        "ema_images": "the article samples from the last weights, not from their average",
    },
)

fastgan = Preset(
    description="Train FastGAN on a few hundred images of 64 pixels a side or more.",
    settings={
        "generator": "fast",
        "discriminator": "fast",
        "steps": 50_000,
        "batch": 8,
        "loss": "hinge",
        "loss_config": {"margin": 0.8},
        "aug": "diffaugment",
        "aug_config": {"policy": "colour,translation"},
        "lr": 2e-4,
        "beta1": 0.5,
        "beta2": 0.999,
        "ema_images": 5_500,
    },
    measured="values of the paper, https://arxiv.org/abs/2101.04775; not measured here",
    reasons={"ema_images": "not measured here; the half-life of the published decay, 0.999 for 8 images"},
)

stacked_mnist = Preset(
    description="Train on Stacked MNIST and cover all of its 1,000 modes.",
    settings={
        "generator": "dcgan",
        "discriminator_config": {"width": 32, "flat": 1},
        "batch": 64,
        "loss": "relativistic",
        "r1": 0.5,
        "lr": 8e-4,
        "steps": 10_000,
    },
    measured="benchmarks/stacked-mnist.md: 1,000 modes, reverse KL 0.05, one run",
)
