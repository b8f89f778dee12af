"""`strategy="auto"`: which strategy for how many images and how far a target. The guide, as code."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.errors import UsageError
from gantl_zoo.gan import GAN
from gantl_zoo.judge import choose_or_pixels
from gantl_zoo.metrics.neighbours import nearest

AUTO = "auto"
SAMPLES = 1_000
SEED = 3_000_000  # samples that nothing else looks at
# Up to so many images, up to so far: the first line that fits. In benchmarks with three seeds `full` leads
# or is nearly level among the strategies of this package, for 10, 100 and 1,000 images, on near pairs, on the
# far one and in colour, so neither has a say yet. (A plug-in's `mine` is ahead where the target is nearest.)
GUIDE: tuple[tuple[float, float, str], ...] = ((math.inf, math.inf, "full"),)


@dataclass(frozen=True)
class Advice:
    """A strategy and why."""

    strategy: str
    why: str


def advised(strategy: str, config: Mapping[str, Any], gan: GAN, images: ImageData) -> Advice:
    """The strategy itself, or for "auto" the one that the guide names. Raises `UsageError` for "auto" with
    settings, which only a strategy that is named can have.
    """
    if strategy != AUTO:
        return Advice(strategy, "")
    if config:
        raise UsageError(
            f"strategy auto takes no settings ({', '.join(config)}); name the strategy to set it"
        )
    return choose(len(images), novelty(gan, images))


def choose(shots: int, far: float) -> Advice:
    """The guide's rule (README, from the tables in benchmarks)."""
    seen = f"{shots:,} images, {far:.2f} times as far from the source's samples as these from each other"
    name = next(name for most, farthest, name in GUIDE if shots <= most and not far > farthest)
    return Advice(name, f"strategy auto: {seen}, so {name}")


def novelty(gan: GAN, images: ImageData) -> float:
    """How far the target is: median distance of its images to the nearest of 1,000 samples of the source,
    over the same between samples. 1: it makes such images already.

    In the features that metrics choose for these images, or in pixels if there are none for them.
    """
    few = images.few(min(SAMPLES, len(images))).images[:]  # a stream's are read
    see = choose_or_pixels("auto", images)
    made = see(to_uint8(gan.generate(SAMPLES, seed=SEED)))[0]
    theirs = nearest(see(few)[0], made)[0].median()
    own = nearest(made, made, same=True)[0].median()
    return float(theirs / own.clamp(min=1e-12))
