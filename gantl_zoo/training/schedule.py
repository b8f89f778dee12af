"""Settings of a recipe that move to another value during the run. Imports no torch.

They move along half a cosine, as in R3GAN (Huang et al. 2024, https://arxiv.org/abs/2501.05441). A value
depends on the recipe and the step alone, so a resumed run continues the schedule.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from gantl_zoo.errors import UnknownNameError, UsageError, unknown
from gantl_zoo.registry import arguments

if TYPE_CHECKING:
    from gantl_zoo.training.recipe import Recipe

P = "aug_p"  # the probability of the augmentation, which is its argument p
LIMITS: dict[str, arguments.Limit] = {
    "lr": arguments.NOT_NEGATIVE,
    "beta2": arguments.BELOW_ONE,
    "r1": arguments.NOT_NEGATIVE,
    "ema_images": arguments.NOT_NEGATIVE,
    P: arguments.SHARE,
}


def check_final(recipe: Recipe, augment: object) -> None:
    """Raise `UsageError` for a final value that is impossible, or that has no value to start from.

    `augment` is the recipe's augmentation.
    """
    for name, value in recipe.final.items():
        if name not in LIMITS:
            raise UnknownNameError(unknown("final setting", name, LIMITS))
        words, holds = LIMITS[name]  # type: ignore[misc]  # none of them is a choice of names
        if not arguments.fits(value, float) or not holds(value):
            raise UsageError(f"final {name} must be a number {words}, not {value!r:.80}")
    if "r1" in recipe.final and not recipe.r1:
        raise UsageError("final r1 needs an r1 above 0 to start from: pass r1 too")
    fixed = arguments.fits(recipe.aug_config.get("p"), float) and hasattr(augment, "p")
    if P in recipe.final and not fixed:
        raise UsageError(
            f"final {P} needs an augmentation whose probability is fixed: pass aug ada, and its argument p "
            "for the start (--aug ada --aug-arg p=0)"
        )


def values(recipe: Recipe, step: int) -> dict[str, float]:
    """The settings that move, at `step` of the run."""
    share = min(1.0, step / recipe.steps)
    starts = {name: recipe.aug_config["p"] if name == P else getattr(recipe, name) for name in recipe.final}
    return {name: blend(starts[name], end, share) for name, end in recipe.final.items()}


def blend(start: float, end: float, share: float) -> float:
    """Interpolate from `start` to `end` along half a cosine; `share` is from 0 to 1."""
    return end + (start - end) / 2 * (1 + math.cos(math.pi * share))
