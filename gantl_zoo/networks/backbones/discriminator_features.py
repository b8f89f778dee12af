"""A GAN's discriminator as a classifier: what it learned without labels, read by one linear layer.

Radford et al. 2015 (https://arxiv.org/abs/1511.06434, section 5.1): the features of every convolution,
max-pooled to a small grid, flattened and joined, then a linear classifier.

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
from gantl_zoo.networks.pretrained import find_discriminator


class DiscriminatorBackbone(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N, L). `blocks` run from the image to the logits.

    `config` are the arguments that build it again: the network in the place of the GAN it comes from.
    """

    def __init__(self, body: Any, num_classes: int, pool: int, config: dict[str, Any]) -> None:
        super().__init__()
        if hasattr(body, "backbone"):
            raise UsageError(
                f"discriminator: {config['network']!r} stands on a backbone of its own, and only it "
                "reads that rightly; use that backbone itself"
            )
        self.channels, self.side, _ = body.image_shape
        self.num_classes, self.pool, self.config = num_classes, pool, config
        self.body = nn.ModuleList(list(body.blocks)[:-1])  # all but the head
        with torch.no_grad():
            maps = self.eval().pyramid(torch.zeros(1, *body.image_shape))
        if not maps or any(features.ndim != 4 for features in maps):
            raise UsageError(
                f"discriminator: the blocks of {config['network']!r} give no feature maps (N, K, h, w)"
            )
        self.embedding_dim = sum(features.shape[1] * pool**2 for features in maps)
        self.classifier = nn.Linear(self.embedding_dim, num_classes)

    @property
    def blocks(self) -> list[nn.Module]:
        return [*self.body, self.classifier]

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """One feature map a block (N, K, h, w); images of another size are resized to the GAN's."""
        size = (self.side, self.side)
        if images.shape[2:] != size:
            images = functional.interpolate(images, size=size, mode="bilinear", antialias=True)
        maps, features = [], images
        for block in self.body:
            features = block(features)
            maps.append(features)
        return maps

    def embed(self, images: Tensor) -> Tensor:
        """The joined vector (N, D) under the classifier."""
        pooled = [functional.adaptive_max_pool2d(features, self.pool) for features in self.pyramid(images)]
        return torch.cat([features.flatten(1) for features in pooled], 1)  # (N, K, pool, pool)… -> (N, D)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (N, L) of what `embed` gave."""
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
    """The discriminator of the GAN `of` (a release or its folder), or a new one of that `network`.

    A trained one has its own `channels`. Raises `UsageError` for what has no discriminator, or one
    whose blocks give no feature maps; `WeightsError` for a folder that is not sound.
    """
    if pool < 1:
        raise UsageError(f"discriminator: pool is the side of a grid, not {pool}")
    if of is not None:
        found = find_discriminator(of, "discriminator:")
        network, full, body = found.name, found.config, found.load()
    else:
        wanted = {} if channels is None else {"channels": channels}
        full = registry.discriminators.configure(network, **wanted | dict(network_config or {}))
        body = registry.discriminators.build_empty(network, **full)
    if channels not in (None, body.image_shape[0]):
        raise UsageError(
            f"discriminator: {of or network} sees {body.image_shape[0]} channel(s), not {channels}; convert "
            f"the images with --channels {body.image_shape[0]}"
        )
    kept = {"network": network, "network_config": full, "num_classes": num_classes, "pool": pool}
    return DiscriminatorBackbone(body, num_classes, pool, kept)
