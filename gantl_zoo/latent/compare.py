"""Images side by side: most and least real ones, nearest training images, and a source with its target.

N images, k neighbours.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError
from gantl_zoo.latent.space import some_seeds
from gantl_zoo.metrics.extractors import Extractor, PixelFeatures
from gantl_zoo.metrics.neighbours import nearest
from gantl_zoo.model.adapter import base_name
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import drawn_classes, labels_of, whole
from gantl_zoo.networks.base import call, evaluating
from gantl_zoo.pixels import to_float

CHUNK = 64  # images in one forward pass of a discriminator
PARTNERS = 3  # samples beside each image for a discriminator that mixes images


@torch.no_grad()
def realness(gan: GAN, images: Tensor, labels: int | Iterable[int] | None = None) -> Tensor:
    """The logits (N,) of the discriminator for images (N, C, H, W), uint8 or float in [-1, 1].

    A discriminator with several logits for an image gives their mean. If the logit of an image depends on the
    others in its batch, each image has the same partners: the model's samples of the seeds 0 to 2. Raises
    `UsageError` without a discriminator, and for a class-conditional model without labels.
    """
    network = gan.discriminator
    if network is None:
        raise UsageError(f"{gan.name} was loaded without its discriminator, or does not have one")
    known = gan.check_labels(labels, len(images))
    network, chunks = evaluating(network), []
    mixing = any(getattr(module, "mixes_images", False) for module in network.modules())
    size = 1 if mixing else CHUNK
    others, classes = partners(gan) if mixing else (images[:0], None)
    for start in range(0, len(images), size):
        part = images[start : start + size]
        batch = [to_float(one) if one.dtype == torch.uint8 else one for one in (part, others)]
        chosen = None if known is None else known[start : start + size]
        if chosen is not None and classes is not None:
            chosen = torch.cat([chosen, classes])
        chosen = None if chosen is None else chosen.to(gan.device)
        logits = call(network, torch.cat([one.to(gan.device, gan.dtype) for one in batch]), chosen)[
            : len(part)
        ]
        chunks.append(logits.flatten(1).mean(1) if logits.ndim > 1 else logits)
    return torch.cat(chunks).float().cpu()


def partners(gan: GAN) -> tuple[Tensor, Tensor | None]:
    """Fixed samples (3, C, H, W) and their labels (3,), None without classes."""
    seeds = range(PARTNERS)
    labels = drawn_classes(seeds, gan.num_classes) if gan.num_classes else None
    return gan.generate(seeds=seeds, labels=labels), labels


def nearest_training(
    images: Tensor, data: ImageData, *, k: int = 3, extractor: Extractor | None = None
) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of the training images that are nearest to each image.

    They are compared by the features of `extractor`, by default of pixels. Raises `UsageError`.
    """
    if not 1 <= whole("k", k) <= len(data):
        raise UsageError(f"k must be from 1 to {len(data)}, the number of training images, not {k}")
    chosen = extractor or PixelFeatures.fit(data)
    features = [chosen(part)[0] for part in (images, data.images[:])]
    return nearest(features[0], features[1], k)


def source_of(gan: GAN) -> GAN:
    """The model that a GAN was fine-tuned from, by its lineage. Raises `UsageError` without one."""
    return GAN.from_pretrained(base_name(gan))


def side_by_side(
    source: GAN, target: GAN, seeds: Iterable[int], *, labels: int | Iterable[int] | None = None
) -> Tensor:
    """Images (2, N, C, H, W) of the same seeds: the source's, then the target's.

    Images of different sizes are enlarged to the larger one, grey ones repeat their channel. `labels` are
    for the models that are class-conditional. Raises `UsageError` for models with different latents, without
    seeds, and for labels if neither model has classes.
    """
    numbers = some_seeds(seeds)
    if not source.num_classes and not target.num_classes:
        source.check_labels(labels, len(numbers))
    labels = labels if labels is None else labels_of(labels, len(numbers))
    if source.latent_dim != target.latent_dim:
        raise UsageError(
            f"{source.name} has latents of {source.latent_dim} numbers and {target.name} of "
            f"{target.latent_dim}: their seeds have nothing in common"
        )
    rows = []
    for gan in (source, target):
        known: Any = labels if gan.num_classes else None
        rows.append(gan.generate(seeds=numbers, labels=known))
    side = max(row.shape[-1] for row in rows)
    channels = max(row.shape[1] for row in rows)
    return torch.stack([enlarged(row, side, channels) for row in rows])


def enlarged(images: Tensor, side: int, channels: int) -> Tensor:
    """Images (N, C, H, W) with `channels` channels and `side` pixels a side."""
    images = images if images.shape[1] == channels else images[:, :1].expand(-1, channels, -1, -1)
    if images.shape[-1] == side:
        return images
    return torch.nn.functional.interpolate(images, size=(side, side), mode="nearest-exact")
