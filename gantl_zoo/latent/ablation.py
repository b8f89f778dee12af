"""What each block of a generator paints, and how far each block of a model moved from its source.

A block draws at the size of its feature map. Its ablation replaces the features of 2×2 neighbours by their
mean: what is lost is the detail that this block could draw, and a block before it, at half the size, could
not. Features without a place are replaced by their mean over the samples.

N images, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.latent.blocks import block_outputs, hooked
from gantl_zoo.latent.space import Points, points
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import blocks, call
from gantl_zoo.networks.mapping import synthesize

MOVED = 64  # images of which activations are compared


def ablate_blocks(
    gan: GAN, seeds: Iterable[int], *, labels: int | Iterable[int] | None = None
) -> dict[int, Tensor]:
    """The images (N, C, H, W) of the seeds without the details of each block, by the block's number.

    Blocks whose output is not a tensor are left out. Raises `UsageError` if that is all of them.
    """
    ends = points(gan, seeds, labels)
    there = block_outputs(gan.generator, lambda network: draw(gan, network, ends))
    if not there:
        raise UsageError(f"the blocks of {gan.name} return no tensors, so none can be left out")
    found = {}
    for chosen in sorted(there):

        def change(index: int, output: Tensor, chosen: int = chosen) -> Tensor | None:
            return coarse(output) if index == chosen else None

        with hooked(gan.generator, change) as network:
            found[chosen] = draw(gan, network, ends)
    return found


def coarse(features: Tensor) -> Tensor:
    """Features (N, K, h, w) whose 2×2 neighbours are their mean; others are their mean over N."""
    if features.ndim != 4 or min(features.shape[2:]) < 2:
        return features.mean(0, keepdim=True).expand_as(features)
    pooled = functional.avg_pool2d(features, 2, ceil_mode=True, count_include_pad=False)
    return functional.interpolate(pooled, scale_factor=2.0)[..., : features.shape[2], : features.shape[3]]


@torch.no_grad()
def draw(gan: GAN, network: Any, ends: Points) -> Tensor:
    """The images of points by a copy of the generator, in one batch, on the CPU."""
    latents = ends.latents.to(gan.device, gan.dtype)
    if ends.space == "w":
        images = synthesize(network, latents, None)
    else:
        labels = ends.classes.argmax(1).to(gan.device) if ends.classes.shape[1] else None
        images = call(network, latents, labels)
    return images.clamp(-1, 1).float().cpu()


def block_movement(source: GAN, target: GAN, *, samples: int = MOVED, seed: int = 0) -> list[dict[str, Any]]:
    """How far each block of `target` is from that of `source`: a row for each block of both networks.

    "weights": the norm of the difference, divided by the norm of the source's weights. "activations": the
    same for the outputs of the block, on the same latents, or for a discriminator on the source's images.
    Raises `UsageError` for models of different architectures.
    """
    seeds = range(seed, seed + samples)
    labels = [i % source.num_classes for i in range(samples)] if source.num_classes else None
    images = source.generate(seeds=seeds, labels=labels).to(source.device, source.dtype)
    known = None if labels is None else torch.tensor(labels, device=source.device)
    ends = points(source, seeds, labels)
    rows: list[dict[str, Any]] = []
    for role in ("generator", "discriminator"):
        pair = getattr(source, role), getattr(target, role)
        if None in pair:
            continue
        check_alike(source, target, role)
        generating = role == "generator"

        def run(network: Any, generating: bool = generating) -> Any:
            return draw(source, network, ends) if generating else call(network, images, known)

        outputs = [block_outputs(network, run) for network in pair]
        for number, (before, after) in enumerate(zip(*map(blocks, pair), strict=True)):
            row: dict[str, Any] = {"network": role, "block": number, "weights": weights_moved(before, after)}
            if number in outputs[0] and number in outputs[1]:
                row["activations"] = relative(outputs[0][number], outputs[1][number])
            rows.append(row)
    return rows


def check_alike(source: GAN, target: GAN, role: str) -> None:
    """Raise `UsageError` unless the networks have the same tensors."""
    shapes = [
        {name: tensor.shape for name, tensor in getattr(gan, role).state_dict().items()}
        for gan in (source, target)
    ]
    if shapes[0] != shapes[1]:
        raise UsageError(
            f"the {role}s of {source.name} and {target.name} have different tensors, so their blocks can't "
            "be compared"
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
