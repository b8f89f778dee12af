"""A GAN's discriminator as a backbone: a linear classifier on its features.

Radford et al. 2015 (https://arxiv.org/abs/1511.06434, section 5.1): the feature maps of all convolutions are
max-pooled to a small grid, flattened and concatenated. A linear classifier follows.

N batch, C channels, H, W image size, D embedding size, L classes, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import feature_maps
from gantl_zoo.networks.packed import PackedDiscriminator
from gantl_zoo.networks.pretrained import find_discriminator


class DiscriminatorBackbone(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to logits (N, L).

    `config` holds the builder's arguments; they name the discriminator's network instead of its GAN.
    """

    def __init__(self, body: Any, num_classes: int, pool: int, config: dict[str, Any]) -> None:
        super().__init__()
        if hasattr(body, "backbone"):
            raise UsageError(
                f"discriminator: {config['network']!r} has a backbone of its own; use that backbone directly"
            )
        while hasattr(body, "inner"):  # of a wrapper, whose blocks alone are not a chain
            if isinstance(body, PackedDiscriminator):
                raise UsageError(
                    f"discriminator: {config['network']!r} takes packs of {body.pack} images, so it has no "
                    "features of one image"
                )
            body = body.inner
        self.channels, self.side, _ = body.image_shape
        self.num_classes, self.pool, self.config = num_classes, pool, config
        self.body = nn.ModuleList(list(body.blocks)[:-1])  # all but the head
        with torch.no_grad():
            maps = self.eval().pyramid(torch.zeros(1, *body.image_shape))
        if not maps or any(features.ndim != 4 for features in maps):
            raise UsageError(
                f"discriminator: the blocks of {config['network']!r} don't return feature maps (N, K, h, w)"
            )
        self.embedding_dim = sum(features.shape[1] * pool**2 for features in maps)
        self.classifier = nn.Linear(self.embedding_dim, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return [*self.body, self.classifier]

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """One feature map (N, K, h, w) per block. Images of another size are resized to the GAN's."""
        size = (self.side, self.side)
        if images.shape[2:] != size:
            images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        return feature_maps(self.body, images)

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (N, D): pooled features of all blocks, concatenated."""
        pooled = [functional.adaptive_max_pool2d(features, self.pool) for features in self.pyramid(images)]
        return torch.cat([features.flatten(1) for features in pooled], 1)  # (N, K, pool, pool)… -> (N, D)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (N, L) of embeddings (N, D)."""
        logits: Tensor = self.classifier(embedding)  # (N, D) -> (N, L)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


@registry.starting_weights(of=None)
def backbone(
    *,
    of: str | None = None,
    network: str = "dcgan",
    network_config: Mapping[str, Any] | None = None,
    channels: int | None = None,
    num_classes: int = 10,
    pool: int = 4,
) -> DiscriminatorBackbone:
    """Linear classifier on the features of a GAN's discriminator (Radford et al. 2015).

    Paper: https://arxiv.org/abs/1511.06434, section 5.1.

    `of`: released GAN, or folder of a saved one, whose discriminator is used; None builds a new one.
    `network`: name of the discriminator that is built; not used with `of`.
    `network_config`: arguments of the discriminator that is built; not used with `of`.
    `channels`: number of channels of the images; None means those of the discriminator.
    `num_classes`: number of classes.
    `pool`: height and width to which each feature map is max-pooled; at least 1.

    Raises `UsageError` if the GAN has no discriminator or its blocks don't return feature maps, and
    `WeightsError` if the folder is damaged.
    """
    if pool < 1:
        raise UsageError(f"discriminator: pool must be at least 1, not {pool}")
    if of is not None:
        trained = find_discriminator(of, "discriminator:")
        network, full, body = trained.name, trained.config, trained.load()
    else:
        defaults = {} if channels is None else {"channels": channels}
        full = registry.discriminators.configure(network, **defaults | dict(network_config or {}))
        body = registry.discriminators.build_empty(network, **full)
    if channels not in (None, body.image_shape[0]):
        raise UsageError(
            f"discriminator: {of or network} takes images of {body.image_shape[0]} channel(s), not "
            f"{channels}; convert the images with --channels {body.image_shape[0]}"
        )
    config = {"network": network, "network_config": full, "num_classes": num_classes, "pool": pool}
    return DiscriminatorBackbone(body, num_classes, pool, config)
