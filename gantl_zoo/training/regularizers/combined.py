"""`build_regularizer`: build the regularizers of a recipe, joined to one."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeGuard

from torch import Tensor, nn

from gantl_zoo.errors import PluginError, UsageError
from gantl_zoo.registry.builtins import regularizers
from gantl_zoo.registry.joined import parts_of
from gantl_zoo.strategy.base import Batch
from gantl_zoo.training.critic import Critic
from gantl_zoo.training.regularizers.base import Regularizer, merged
from gantl_zoo.training.regularizers.gradient import GradientPenalty, penalties


def build_regularizer(
    name: str = "none", config: Mapping[str, Any] | None = None, r1: float = 0.0
) -> Combined:
    """Build a registered regularizer, or several joined by "+".

    `r1` above 0 is short for the part `r1` with the argument `gamma`, which is also that of the part `r2`
    unless it has one of its own. Raises `UsageError`, `UnknownNameError` or `PluginError`.
    """
    name, given = ("r1" if r1 and name == "none" else name), dict(config or {})
    implied = bool(r1) and "r1" not in name.split("+")
    own = {key: given.pop(key) for key in list(given) if implied and key.startswith("r1.")}
    parts = parts_of(regularizers, name, given)  # arguments without a part's name belong to the named parts
    if implied:
        parts = {"r1": {key.removeprefix("r1."): value for key, value in own.items()}} | parts
    if r1:
        if "gamma" in parts["r1"]:
            raise UsageError("r1 and the regularizer's argument r1.gamma are both given: give one of them")
        parts["r1"]["gamma"] = r1
        if "r2" in parts:
            parts["r2"].setdefault("gamma", r1)
    return Combined({part: _one(part, settings) for part, settings in parts.items()})


def _one(name: str, config: Mapping[str, Any]) -> Regularizer:
    regularizer = regularizers.build(name, **config)
    if not isinstance(regularizer, Regularizer):
        raise PluginError(f"regularizer {name!r} is a {type(regularizer).__name__}, not a gz.Regularizer")
    return regularizer


class Combined(Regularizer):
    """Several regularizers at once, by name in `parts`. Gradient penalties share a call of the critic."""

    def __init__(self, parts: Mapping[str, Regularizer]) -> None:
        super().__init__()
        self.parts = dict(parts)
        self.saved = nn.ModuleList(parts.values())  # names may have dots, which those of modules may not
        self.every = math.lcm(*(part.every for part in parts.values()))
        self.latent_space = any(part.latent_space for part in parts.values())
        self.stages = any(part.stages for part in parts.values())

    def due(self, step: int) -> tuple[str, ...]:
        """The parts that are not applied in each step, but in this one."""
        return tuple(name for name, part in self.parts.items() if part.every > 1 and step % part.every == 0)

    def mapped_latents(self, latents: Tensor, draw: Callable[[], Tensor]) -> Tensor:
        for part in self.parts.values():
            latents = part.mapped_latents(latents, draw) if part.latent_space else latents
        return latents

    def batch(self, batch: Batch) -> Batch:
        for part in self.parts.values():
            batch = part.batch(batch)
        return batch

    def discriminator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        shared = [part for part in self.parts.values() if shares_call(part)]
        others = [part for part in self.parts.values() if not shares_call(part)]
        own = [part.discriminator(critic, batch) for part in others]
        return merged(penalties(shared, critic, batch), *own)

    def generator_logits(self, logits: Tensor, step: int) -> Tensor:
        for part in self.parts.values():
            logits = part.generator_logits(logits, step)
        return logits

    def generator(self, critic: Critic, batch: Batch) -> dict[str, Tensor]:
        return merged(*(part.generator(critic, batch) for part in self.parts.values()))


def shares_call(part: Regularizer) -> TypeGuard[GradientPenalty]:
    """Whether this is a gradient penalty that leaves the call of the critic to `penalties`."""
    return isinstance(part, GradientPenalty) and type(part).discriminator is GradientPenalty.discriminator
