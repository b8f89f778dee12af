"""PacGAN (Lin et al. 2018, https://arxiv.org/abs/1712.04086): a discriminator of several images at once.

A generator that makes few modes makes packs of similar images, which differ from packs of real images. So the
discriminator recognises the collapse, and the generator is trained against it.

N batch, m images of a pack, C channels, H = W image size.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks, check_sizes
from gantl_zoo.networks.wrapped import inner_discriminator


class PackedDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to logits (N, …): that of its pack for each image.

    A pack is m successive images, whose channels are concatenated. If m does not divide N, the first images
    are repeated to complete the last pack. So the logit of an image depends on the others of the batch; that
    of a single image is the logit of m copies of it.
    """

    num_classes = 0
    mixes_images = True

    def __init__(self, inner: Any, pack: int) -> None:
        super().__init__()
        channels, *sides = inner.image_shape
        self.inner, self.pack, self.image_shape = inner, pack, (channels // pack, *sides)

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of the inner network, which takes packs (N/m, m·C, H, W)."""
        return blocks(self.inner)

    def packs(self, images: Tensor) -> Tensor:
        """The packs (⌈N/m⌉, m·C, H, W) of images (N, C, H, W)."""
        count = len(images)
        if missing := -count % self.pack:
            images = images[torch.arange(count + missing, device=images.device) % count]
        channels, *sides = images.shape[1:]
        return images.reshape(len(images) // self.pack, self.pack * channels, *sides)

    def of_each(self, logits: Tensor, count: int) -> Tensor:
        """The logits (N, …) of `count` images, from those of their packs."""
        return logits.repeat_interleave(self.pack, 0)[:count]  # (⌈N/m⌉, …) -> (N, …)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.of_each(self.inner(self.packs(images)), len(images))


class PackedSelfSupervisedDiscriminator(PackedDiscriminator):
    """A packed discriminator whose inner network has a loss of its own, on the packs."""

    @property
    def terms_of_fake(self) -> bool:
        """Whether the loss has terms for fake images, too."""
        return getattr(self.inner, "terms_of_fake", False)

    def self_supervised(self, images: Tensor, labels: Tensor | None = None, **fake: bool) -> Any:
        """Logits (N, …) and the named loss terms of the inner network."""
        logits, terms = self.inner.self_supervised(self.packs(images), **fake)
        return self.of_each(logits, len(images)), terms


def discriminator(
    *,
    discriminator: str = "dcgan",
    pack: int = 2,
    image_size: int = 28,
    channels: int = 1,
    discriminator_config: Mapping[str, Any] | None = None,
    **further: Any,
) -> PackedDiscriminator:
    """Discriminator of packs of images, against mode collapse (PacGAN, Lin et al. 2018).

    Each image gets the logit of its pack. The batch size should be a multiple of `pack`; otherwise images are
    repeated in the last pack. It is unconditional: a pack has images of several classes. R1 and R2 with the
    weight γ penalise the gradient of a pack with the weight m·γ. Paper: https://arxiv.org/abs/1712.04086.

    `discriminator`: name of the inner network, such as dcgan; not one on a pretrained backbone.
    `pack`: number of images m of a pack; 2 to 4 in the paper.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB. The inner network has `pack` times as
        many.
    `discriminator_config`: arguments of the inner network, such as its width. They can also be passed
        directly.
    """
    check_sizes("packed", pack=pack, channels=channels)
    if "backbone" in registry.discriminators.takes(discriminator)[0]:
        raise UsageError(
            f"packed: the backbone of {discriminator!r} takes single images, not packs; use a discriminator "
            "without one, such as dcgan"
        )
    inner = inner_discriminator(
        "packed", discriminator, pack * channels, image_size, discriminator_config, further
    )
    own_loss = hasattr(inner, "self_supervised")
    return (PackedSelfSupervisedDiscriminator if own_loss else PackedDiscriminator)(inner, pack)
