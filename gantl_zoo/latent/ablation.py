"""What each block of a generator paints, and how far each block of a model moved from its source.

A block draws at the size of its feature map. Its ablation replaces the features of 2×2 neighbours by their
mean: what is lost is the detail that this block could draw, and a block before it, at half the size, could
not. Features without a place are replaced by their mean over random samples.

N images, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.latent.blocks import block_outputs, hooked, in_chunks
from gantl_zoo.latent.space import Points, points, random_points, some_seeds
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks

MOVED = 64  # samples of which activations are compared, or averaged


def ablate_blocks(
    gan: GAN, seeds: Iterable[int], *, labels: int | Iterable[int] | None = None
) -> dict[int, Tensor]:
    """The images (N, C, H, W) of the seeds without the details of each block, by the block's number.

    Blocks whose output is not a tensor are left out. Raises `UsageError` if that is all of them.
    """
    ends = points(gan, some_seeds(seeds), labels, "z")
    usual = usual_outputs(gan)
    if not usual:
        raise UsageError(f"the blocks of {gan.name} return no tensors, so none can be left out")
    images = {}
    for chosen, mean in sorted(usual.items()):

        def change(index: int, output: Tensor, chosen: int = chosen, mean: Tensor = mean) -> Tensor | None:
            return coarse(output, mean) if index == chosen else None

        with hooked(gan.generator, change) as network:
            images[chosen] = in_chunks(network, ends.latents, labels_in(ends)).clamp(-1, 1)
    return images


def usual_outputs(gan: GAN) -> dict[int, Tensor]:
    """The mean output of each block that returns a tensor, over fixed random latents, by its number."""
    sums: dict[int, Tensor] = {}

    def add(index: int, output: Tensor) -> None:
        sums[index] = sums.get(index, 0) + output.sum(0)

    drawn = random_points(gan, MOVED, space="z")
    with hooked(gan.generator, add) as network:
        in_chunks(network, drawn.latents, labels_in(drawn))
    return {index: total / MOVED for index, total in sums.items()}


def labels_in(ends: Points) -> Tensor | None:
    """The classes (N,) of points; None without classes."""
    return ends.classes.argmax(1) if ends.classes.shape[1] else None


def coarse(features: Tensor, mean: Tensor) -> Tensor:
    """Features (N, K, h, w) whose 2×2 neighbours are their mean; other features become the given mean."""
    if features.ndim != 4 or min(features.shape[2:]) < 2:
        return mean.to(features.dtype).expand_as(features)
    pooled = functional.avg_pool2d(features, 2, ceil_mode=True, count_include_pad=False)
    return functional.interpolate(pooled, scale_factor=2.0)[..., : features.shape[2], : features.shape[3]]


def block_movement(source: GAN, target: GAN, *, samples: int = MOVED, seed: int = 0) -> list[dict[str, Any]]:
    """How far each block of `target` is from that of `source`: a row for each block of both networks.

    "weights": the norm of the difference, divided by the norm of the source's weights. "activations": the
    same for the outputs of the block, on the same noise, or for a discriminator on the source's images.
    Discriminators of different architectures have no rows. Raises `UsageError` for such generators.
    """
    if text := difference(source, target, "generator"):
        raise UsageError(text)
    seeds = range(seed, seed + samples)
    known = [i % source.num_classes for i in range(samples)] if source.num_classes else None
    ends = points(source, seeds, known, "z")
    images = source.generate(seeds=seeds, labels=known)
    rows: list[dict[str, Any]] = []
    for role, inputs in (("generator", ends.latents), ("discriminator", images)):
        pair = getattr(source, role), getattr(target, role)
        if None in pair or difference(source, target, role):
            continue
        outputs = [block_outputs(network, inputs, labels_in(ends)) for network in pair]
        for number, (before, after) in enumerate(zip(*map(blocks, pair), strict=True)):
            row: dict[str, Any] = {"network": role, "block": number, "weights": weights_moved(before, after)}
            if number in outputs[0] and number in outputs[1]:
                row["activations"] = relative(outputs[0][number], outputs[1][number])
            rows.append(row)
    return rows


def difference(source: GAN, target: GAN, role: str) -> str:
    """Why the blocks of two networks can't be compared, or an empty string."""
    pair = getattr(source, role), getattr(target, role)
    if None in pair:
        return ""
    shapes = [{name: tensor.shape for name, tensor in network.state_dict().items()} for network in pair]
    if shapes[0] == shapes[1]:
        return ""
    return (
        f"the {role}s of {source.name} and {target.name} have different tensors, so their blocks can't be "
        "compared"
    )


def weights_moved(before: nn.Module, after: nn.Module) -> float:
    """The relative difference of all parameters of a block; 0 for a block without parameters."""
    flat = [
        torch.cat([p.detach().float().cpu().flatten() for p in block.parameters()] or [torch.zeros(1)])
        for block in (before, after)
    ]
    return relative(*flat)


def relative(before: Tensor, after: Tensor) -> float:
    """The norm of the difference divided by the norm of `before`."""
    difference = (after.float().cpu() - before.float().cpu()).norm()
    return float(difference / before.float().norm().cpu().clamp(min=1e-12))
