"""`strategy="auto"`: which strategy for how many images and how far a target. The guide, as code."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.data import ImageData, to_float, to_uint8
from gantl_zoo.errors import UsageError, ZooError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks, call, eval_view
from gantl_zoo.strategy.combine import build_strategy, rehearse

AUTO = "auto"
SAMPLES = 1_000
SEED = 3_000_000  # samples that nothing else looks at
AT_ONCE = 100  # images
SIDE = 16  # pixels, where they are compared


NEAR, FAR = 0.4, 0.8  # deviations: where the guide's columns end


@dataclass(frozen=True)
class Line:
    """A line of the guide: up to so many images, up to so far."""

    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    most: float = math.inf
    farthest: float = math.inf
    why: str = ""

    def __str__(self) -> str:
        return " ".join([self.strategy, *(f"{key}={value}" for key, value in self.settings.items())])


MINED = "the source makes such images already, so finding the right latents does most of the work"
EARLY_BLOCK = "the discriminator's first block is right already, and few images can't improve it"
HELD = "so few images can't replace the source's weights, so these are pulled back to where they started"
WHOLE = "with so few images no block is worth freezing here"
FIRST = "with this many images, or images this far, freezing the discriminator's first block leads"

# The first line that fits, if its strategy is there. From tables with three seeds; benchmarks/README.md,
# "What the bare command reaches", has the ratios to each table's best row. Nearest (digits 5-9, 0.26 from
# digits 0-4) `mine` leads; without it, `freeze-d` with one frozen block with ten images and with 1,000 and
# more, and `full` with 100. On letters (0.67) `l2-sp` leads with ten images. `full` is level with the best
# with ten clothes (1.2), and leads with ten and 35 faces in colour (0.96). Elsewhere `freeze-d` with one
# frozen block leads, or is level. Where between these figures the lines are drawn is a guess.
GUIDE = (
    Line("mine", farthest=NEAR, why=MINED),
    Line("freeze-d", {"first": 1}, most=30, farthest=NEAR, why=EARLY_BLOCK),
    Line("l2-sp", most=30, farthest=FAR, why=HELD),
    Line("full", most=60, why=WHOLE),
    Line("full", most=300, farthest=FAR, why=WHOLE),
    Line("freeze-d", {"first": 1}, why=FIRST),
)


@dataclass(frozen=True)
class Advice:
    """A strategy, its settings, and why; `far` is the target's distance where that was measured."""

    strategy: str
    settings: dict[str, Any]
    why: str = ""
    far: float | None = None


def advised(strategy: str, config: dict[str, Any], source: GAN, fitted: GAN, images: ImageData) -> Advice:
    """The strategy itself, or for "auto" the one that the guide names for a `source` that was `fitted` to the
    images. Raises `UsageError` for "auto" with settings, which only a strategy that is named can have.
    """
    if strategy != AUTO:
        return Advice(strategy, config)
    if config:
        raise UsageError(
            f"strategy auto takes no settings ({', '.join(config)}); name the strategy to set it"
        )
    return choose(len(images), novelty(source, images), lambda line: suits(line, fitted, images))


def choose(shots: int, far: float, fits: Callable[[Line], bool]) -> Advice:
    """The guide's rule (README, from the tables in benchmarks): its first line that `fits`, else `full`."""
    seen = f"{shots:,} images, {far:.2f} deviations from what the source makes"
    lines = [line for line in GUIDE if shots <= line.most and far <= line.farthest]
    taken = next(filter(fits, lines), Line("full"))
    first = next((i for i, line in enumerate(lines) if line.strategy == taken.strategy), len(lines))
    missed = ", ".join(dict.fromkeys(map(str, lines[:first])))
    but = f" ({missed} would come first, but is not installed or not for these networks)" if missed else ""
    why = f": {taken.why}" if taken.why else ""
    return Advice(taken.strategy, dict(taken.settings), f"strategy auto: {seen}, so {taken}{but}{why}", far)


def suits(line: Line, gan: GAN, images: ImageData) -> bool:
    """Is the strategy there, and can these networks have it?"""
    try:
        rehearse(build_strategy(line.strategy, line.settings), gan, images)
    except ZooError:
        return False
    return True


def novelty(gan: GAN, images: ImageData, samples: int | None = None) -> float:
    """How far the target is: the shift of the mean from 1,000 `samples` of the source to the images, in their
    standard deviations. 0: the source makes such images already.

    In the features of the source's own discriminator, what a transfer starts from; images of another size or
    other channels are shown to it as its own, so colours that it can't see don't count. What the shift would
    be by chance is taken off, so that ten images give the figure of a thousand.
    """
    channels, side, _ = gan.image_shape
    few = images.few(min(SAMPLES, len(images))).fit(side, channels).images[:]  # a stream's are read
    made = to_uint8(gan.generate(samples or SAMPLES, seed=SEED))
    theirs, own = features(gan.discriminator, few), features(gan.discriminator, made)
    if theirs is None or own is None:
        theirs, own = pixels(few), pixels(made)
    spread = own.var(0).sum()
    by_chance = spread / len(own) + (theirs.var(0).sum() if len(theirs) > 1 else spread) / len(theirs)
    shift = (theirs.mean(0) - own.mean(0)).square().sum() - by_chance
    return float((shift.clamp(min=0) / spread.clamp(min=1e-12)).sqrt())


@torch.inference_mode()
def features(discriminator: Any, images: Tensor) -> Tensor | None:
    """What reaches the last block (N, K), averaged over positions, or None where there is no such thing.

    The images are uint8 (N, C, H, W).
    """
    if discriminator is None or len(blocks(discriminator)) < 2:
        return None
    device = next(discriminator.parameters()).device
    caught: list[Any] = []
    network = eval_view(discriminator)  # its own, so that the hook stays off the given network
    blocks(network)[-1].register_forward_pre_hook(lambda block, inputs: caught.append(inputs[0]))
    for part in torch.split(images.to(device), AT_ONCE):
        call(network, to_float(part), torch.zeros(len(part), dtype=torch.long, device=device))
    if not caught or any(not isinstance(found, Tensor) or found.ndim < 2 for found in caught):
        return None
    flat = [found.flatten(2).mean(2) if found.ndim > 2 else found for found in caught]
    return torch.cat(flat).float().cpu()


def pixels(images: Tensor) -> Tensor:
    """The images themselves, small (N, K): for a source without a discriminator that could tell."""
    return functional.adaptive_avg_pool2d(to_float(images), SIDE).flatten(1)
