"""`strategy="auto"`: choose a strategy for the number of images and their distance from the source.

This is the guide of docs/strategies.md, as code.
"""

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
from gantl_zoo.networks.base import blocks, call, digest, eval_view
from gantl_zoo.networks.pretrained import IMAGENET
from gantl_zoo.storage.features import kept
from gantl_zoo.strategy.combine import build_strategy, rehearse
from gantl_zoo.version import VERSION

AUTO = "auto"
SAMPLES = 1_000
SEED = 3_000_000  # of samples that are used for nothing else
AT_ONCE = 100  # images per forward pass
SIDE = 16  # pixels a side, to which images are reduced if pixels are compared


NEAR, FAR = 0.4, 0.8  # limits of the distance, in standard deviations


@dataclass(frozen=True)
class Line:
    """A row of the guide: a strategy for at most `most` images at a distance of at most `farthest`.

    With `colour` it is for colour images only.
    """

    strategy: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    most: float = math.inf
    farthest: float = math.inf
    colour: bool = False
    why: str = ""

    def __str__(self) -> str:
        return " ".join([self.strategy, *(f"{key}={value}" for key, value in self.settings.items())])


MINED = "the source already makes similar images; finding their latents is most of the work"
EARLY_BLOCK = "the discriminator's first block already fits, and few images can't improve it"
HELD = "few images can't replace the source's weights, so these stay near their initial values"
WHOLE = "with so few images, freezing blocks does not help"
FIRST = "with this many images or at this distance, a frozen first block gives the best results"

PRETRAINED = "features of ImageNet tell a discriminator more about colour images than so few images do"
AIDED = {"backbone": IMAGENET, "width": 16}

# The first row that fits is used, if its strategy is installed. The rows come from tables with three seeds.
# "What the bare command reaches" in benchmarks/README.md has the ratios to the best row of each table.
# - Digits 5-9 (distance 0.26 from digits 0-4): `mine` is best. Without it, `freeze-d` with one frozen block
#   is best with 10 images and with 1,000 and more, and `full` with 100.
# - Letters (0.67): `l2-sp` is best with 10 images.
# - Faces in colour (0.96): `full` is best with 10 and 35 images.
# - Drawings and cut-out photographs in colour (0.78 to 1.3), 100 images, one or two seeds: `vision-aided` on
#   ImageNet features is best or nearly so, and its photographs look best. Without them it is `full`.
# - Clothes (1.2): `full` equals the best with 10 images.
# - Elsewhere `freeze-d` with one frozen block is best or equals the best.
# The limits between these cases are guesses.
GUIDE = (
    Line("mine", farthest=NEAR, why=MINED),
    Line("freeze-d", {"first": 1}, most=30, farthest=NEAR, why=EARLY_BLOCK),
    Line("l2-sp", most=30, farthest=FAR, why=HELD),
    Line("full", most=60, why=WHOLE),
    Line("vision-aided", AIDED, most=300, colour=True, why=PRETRAINED),
    Line("full", most=300, farthest=FAR, why=WHOLE),
    Line("full", most=300, colour=True, why=WHOLE),
    Line("freeze-d", {"first": 1}, why=FIRST),
)


@dataclass(frozen=True)
class Advice:
    """A strategy, its settings and the reasons; `far` is the distance of the images, if it was measured."""

    strategy: str
    settings: dict[str, Any]
    why: str = ""
    far: float | None = None


def advised(strategy: str, config: dict[str, Any], source: GAN, fitted: GAN, images: ImageData) -> Advice:
    """The given strategy, or for "auto" the guide's choice for these images.

    `fitted` is the source with networks fitted to the images. Raises `UsageError` for "auto" with settings,
    because settings belong to one strategy.
    """
    if strategy != AUTO:
        return Advice(strategy, config)
    if config:
        raise UsageError(
            f"strategy auto takes no settings ({', '.join(config)}); name the strategy that has them"
        )
    far, colour = novelty(source, images), images.shape[0] > 1
    return choose(len(images), far, lambda line: suits(line, fitted, images), colour)


def choose(shots: int, far: float, fits: Callable[[Line], bool], colour: bool = False) -> Advice:
    """The first row of the guide that `fits`, or else `full`."""
    near = [line for line in GUIDE if shots <= line.most and far <= line.farthest]
    lines = [line for line in near if colour or not line.colour]
    chosen = next(filter(fits, lines), Line("full"))
    first = next((i for i, line in enumerate(lines) if line.strategy == chosen.strategy), len(lines))
    skipped = ", ".join(dict.fromkeys(map(str, lines[:first])))
    word = "nearest" if far <= NEAR else "near" if far <= FAR else "far"
    why = [
        f"strategy auto: {shots:,} images, {far:.2f} standard deviations from samples of the source ({word})"
    ]
    why += [f"not possible: {skipped} (not installed, or not for these networks)"] if skipped else []
    why += [f"chosen: {chosen}" + (f"; {chosen.why}" if chosen.why else "")]
    return Advice(chosen.strategy, dict(chosen.settings), "\n".join(why), far)


def suits(line: Line, gan: GAN, images: ImageData) -> bool:
    """Whether the strategy is installed and these networks can be trained with it."""
    try:
        rehearse(build_strategy(line.strategy, line.settings), gan, images)
    except ZooError:
        return False
    return True


def novelty(gan: GAN, images: ImageData, samples: int | None = None) -> float:
    """The distance of the images from 1,000 `samples` of the source, in standard deviations of the samples.

    It is the distance between the means of features; 0 means that the source already makes such images. The
    features are those of the source's own discriminator, from which a transfer starts. Images are converted
    to the source's size and channels, so colours don't count for a grey source. The squared distance that is
    expected by chance is subtracted, so that the result hardly depends on the number of images. Means and
    variances of a saved source are kept in the cache.
    """
    channels, side, _ = gan.image_shape
    count = samples or SAMPLES
    real = images.few(min(SAMPLES, len(images))).fit(side, channels).images[:]  # reads those of a stream
    x, blind = features(gan.discriminator, real), False  # (N, K)
    if x is None:
        x, blind = pixels(real), True
    mean, variances = statistics(gan, count, blind)  # (K,) each
    variance = variances.sum()
    by_chance = variance / count + (x.var(0).sum() if len(x) > 1 else variance) / len(x)
    shift = (x.mean(0) - mean).square().sum() - by_chance
    return float((shift.clamp(min=0) / variance.clamp(min=1e-12)).sqrt())


def statistics(gan: GAN, count: int, blind: bool) -> Tensor:
    """Mean and variance (2, K) of the features of `count` samples, or with `blind` of their pixels.

    Those of a model from a folder are kept in the cache: other weights, or another version, have other keys.
    """

    def measured() -> tuple[Tensor, None]:
        fake = to_uint8(gan.generate(count, seed=SEED))
        y = None if blind else features(gan.discriminator, fake)  # (M, K)
        y = pixels(fake) if y is None else y
        return torch.stack([y.mean(0), y.var(0)]), None

    if gan.folder is None:  # its architecture may have changed, with the same weights
        return measured()[0]
    networks = [one for one in (gan.generator, gan.discriminator) if one is not None]
    device = next(networks[0].parameters()).device.type
    versions = VERSION, gan.config()["requires"]  # of this package and of plug-ins
    key = ("statistics of samples", versions, gan.parts, [digest(one.state_dict()) for one in networks])
    return kept((*key, count, SEED, blind, device), measured)[0]


@torch.inference_mode()
def features(discriminator: Any, images: Tensor) -> Tensor | None:
    """The input of the last block, averaged over positions, (N, K), for uint8 images (N, C, H, W).

    None without a discriminator, with fewer than two blocks, or if the last block gets no tensor.
    """
    if discriminator is None or len(blocks(discriminator)) < 2:
        return None
    device = next(discriminator.parameters()).device
    inputs: list[Any] = []
    network = eval_view(discriminator)  # so that the hook is not added to the given network
    blocks(network)[-1].register_forward_pre_hook(lambda block, args: inputs.append(args[0]))
    for part in torch.split(images.to(device), AT_ONCE):
        call(network, to_float(part), torch.zeros(len(part), dtype=torch.long, device=device))
    if not inputs or any(not isinstance(x, Tensor) or x.ndim < 2 for x in inputs):
        return None
    flat = [x.flatten(2).mean(2) if x.ndim > 2 else x for x in inputs]
    return torch.cat(flat).float().cpu()


def pixels(images: Tensor) -> Tensor:
    """The images, reduced to 16×16 pixels and flattened, (N, K): for a source without usable features."""
    return functional.adaptive_avg_pool2d(to_float(images), SIDE).flatten(1)
