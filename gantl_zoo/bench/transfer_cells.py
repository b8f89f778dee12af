"""The cells of `bench transfer`: a pair, a number of training images, a method and a seed."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from gantl_zoo.bench.transfer_draw import drawn
from gantl_zoo.bench.transfer_pairs import Pair
from gantl_zoo.bench.transfer_report import SCRATCH
from gantl_zoo.errors import UsageError
from gantl_zoo.registry.arguments import from_words
from gantl_zoo.registry.builtins import REGISTRIES, strategies
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training.augment.build import build_augment
from gantl_zoo.training.presets import load_preset
from gantl_zoo.training.recipe import Recipe

SMALL: dict[str, Any] = {  # a source that trains quickly: 0.38 and 0.07 million parameters
    "generator_config": {"width": 16},
    "discriminator_config": {"width": 16, "flat": 1},
}
ROLES = ("generator", "discriminator")


@dataclass(frozen=True, kw_only=True)
class Budget:
    """The training budget of each cell, and how it is measured."""

    steps: int = 4500  # here the curve of the from-scratch baseline on 1,000 images is nearly flat
    batch: int = 32
    looks: int = 20  # evaluations during training
    samples: int = 2_000
    source_steps: int = 8_000  # with batch 64, for a pair without `source`
    aug: str = "diffaugment"  # also for the baseline, which is much weaker without

    def __post_init__(self) -> None:
        for name, value in asdict(self).items():
            if isinstance(value, int) and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}")
        build_augment(self.aug)  # raises for an unknown name before hours of training


def budget_for(pairs: Sequence[Pair], **given: Any) -> Budget:
    """The budget of these pairs; `given` values replace its own, unless they are None.

    If all pairs have the same preset, the steps, the batch and the augmentation are those of the preset.
    """
    usual: dict[str, Any] = {}
    names = {pair.preset for pair in pairs}
    if len(names) == 1 and (name := names.pop()):
        chosen = load_preset(name).for_verb("transfer")
        usual = {key: chosen[key] for key in ("steps", "batch", "aug") if key in chosen}
        usual |= {"looks": 4, "samples": 500}  # a measurement of larger images takes longer
    return Budget(**usual | {key: value for key, value in given.items() if value is not None})


@dataclass(frozen=True)
class Method:
    """How a cell is trained: a strategy with its arguments, or from scratch.

    `recipe` replaces settings of the pair's recipe. `networks` replaces networks of the run from scratch:
    `{"generator": name, "generator_config": arguments}`, and likewise for the discriminator.
    """

    name: str
    config: Mapping[str, Any] = field(default_factory=dict)
    recipe: Mapping[str, Any] = field(default_factory=dict)
    networks: Mapping[str, Any] = field(default_factory=dict)

    def strategy(self) -> TransferStrategy:
        """The strategy. Raises `UsageError` or `UnknownNameError`."""
        return build_strategy(self.name, self.config)


def method_of(text: str) -> Method:
    """Parse a method: a name, and words KEY=VALUE.

    The words are arguments of the strategy, such as `"freeze-d first=2"`, or settings of the recipe that are
    not its arguments, such as `"projected loss=hinge lr=2e-4"`. After "scratch" they name networks:
    `"scratch discriminator=projected discriminator.width=16"`. Raises `UsageError`.
    """
    name, *words = text.split() or [""]
    config = from_words(words, f"strategy {name}:")
    own = {key for part in name.split("+") if part in strategies for key in strategies.takes(part)[0]}
    recipe = {key: config.pop(key) for key in list(config) if key in RECIPE - own}
    Recipe.for_verb("transfer", **recipe)  # raises for values that are not valid
    if name != SCRATCH:
        return Method(name, config, recipe)
    return Method(name, {}, recipe, networks_of(config))


RECIPE = {one.name for one in fields(Recipe)} - {"steps", "batch", "seed", "aug"}  # those are in the budget


def networks_of(config: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of a run from scratch. Raises `UsageError` for other words or an unknown network."""
    networks: dict[str, Any] = {}
    for role in ROLES:
        own = {key.partition(".")[2]: config[key] for key in config if key.startswith(f"{role}.")}
        if role in config:
            REGISTRIES[f"{role}s"].configure(config[role], **own)
            networks |= {role: config[role], f"{role}_config": own}
        elif own:
            raise UsageError(f"{SCRATCH}: arguments of a {role} need its name, {role}=NAME")
    if strange := [key for key in config if key.partition(".")[0] not in ROLES]:
        raise UsageError(
            f"{SCRATCH}: {strange[0]} is not a setting of the recipe; networks are set by generator=NAME, "
            "generator.KEY=VALUE, discriminator=NAME and discriminator.KEY=VALUE"
        )
    return networks


def choose_part(text: str) -> tuple[int, int]:
    """Parse `"2/3"` to (2, 3). Raises `UsageError`."""
    if not (match := re.fullmatch(r"(\d+)/(\d+)", text)) or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"part {text!r} is not a valid I/N: give 1/2 and 2/2 for two processes")
    return int(match[1]), int(match[2])


@dataclass(frozen=True)
class Cell:
    """One run of a table."""

    pair: Pair
    shots: int
    strategy: str
    seed: int

    @property
    def name(self) -> str:
        strategy = re.sub(r"[^\w+]+", "-", self.strategy)
        return f"{self.pair.name}-{self.shots or 'all'}-{strategy}-{self.seed}"

    def key(self, budget: Budget) -> str:
        """A key of everything that determines the result, except the code and the source's weights."""
        own = {
            "pair": self.pair.describe(),
            "shots": self.shots,
            "strategy": self.strategy,
            "seed": self.seed,
        }
        return json.dumps([own, asdict(budget), self.pair.recipe, SMALL], sort_keys=True)

    def data(self, budget: Budget, out: Path, size: int, root: str | Path | None) -> dict[str, Any]:
        """The settings `data`, `shots` and `data_seed` of the run; those of a pool are in a zip in `out`."""
        if not self.pair.pool:
            return {"data": self.pair.data, "shots": self.shots or None, "data_seed": self.seed}
        name = f"{self.pair.name}-{self.shots or 'all'}-{self.pair.pool}-{budget.samples}-{self.seed}.zip"
        settings: dict[str, Any] = {"pool": self.pair.pool, "seed": self.seed, "most": budget.samples}
        settings |= {"shots": self.shots, "image_size": size, "data_root": root}
        return {"data": str(drawn(out / "data" / name, self.pair.data, **settings))}
