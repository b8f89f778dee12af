"""The networks of `grown`: an inner network, and blocks that are added at the image's end.

The last convolution of each added block starts at zero. So at first the generator's images are the resampled
ones of its inner network, and the discriminator's logits are those of the resampled images.

N batch, C channels, H = W image size, p image size of the inner network, Z latent size, K, W channels of
feature maps h × h.
"""

from __future__ import annotations

import copy
import itertools
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gantl_zoo.networks.base import BlockDiscriminator, BlockGenerator, blocks, call, need, num_classes_of
from gantl_zoo.networks.grown_blocks import DownBlock, UpBlock, enlarged, half, resampled
from gantl_zoo.networks.mapping import stage_images


class Grown(nn.Module):
    """What grown generators and discriminators have in common.

    `sides` are the image sizes of the added blocks, rising, with a list for each time that the network was
    grown; `starts` are the indices of the blocks with which these lists begin. `chain` is whether the inner
    network only calls its blocks in order. Then the added blocks are connected to its feature maps, else to
    its images.
    """

    def __init__(self, inner: Any, image_size: int, sides: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.inner, self.sides = inner, [list(growth) for growth in sides]
        self.image_shape = (inner.image_shape[0], image_size, image_size)
        self.num_classes = num_classes_of(inner)
        self.starts = {sum(map(len, self.sides[:i])) for i in range(len(self.sides))}
        self.features = feature_shape(inner)
        self.chain = self.features is not None
        self.added = nn.ModuleList()


class GrownGenerator(Grown):
    """Maps noise (N, Z), and labels (N,) if class-conditional, to images (N, C, H, W) in [-1, 1]."""

    def __init__(self, inner: Any, image_size: int, sides: Sequence[Sequence[int]], width: int) -> None:
        super().__init__(inner, image_size, sides)
        self.latent_dim: int = inner.latent_dim
        channels, before = inner.image_shape[:2]
        inputs, map_side = self.features or (0, before / 2)
        for side in itertools.chain(*sides):
            map_side, before = map_side * side / before, side
            width = inputs or width
            self.added.append(UpBlock(inputs, width, channels, round(map_side), side))
            inputs = width

    @property
    def blocks(self) -> list[nn.Module]:
        """The blocks of the inner network, then the added ones."""
        return [*blocks(self.inner), *self.added]

    def grow(self, features: Tensor | None, image: Tensor) -> list[Tensor]:
        """The images (N, C, h, h) of all added blocks, from the last feature map and the inner images."""
        images, start, details = [image], image, torch.zeros_like(image)
        for index, block in enumerate(self.added):
            if index in self.starts:
                start, details = image, torch.zeros_like(image)
            features = block(features, image)
            details = resampled(details, block.side) + block.details(features)  # type: ignore[operator,arg-type]
            image = enlarged(start, block.side, details)  # type: ignore[arg-type]
            images.append(image)
        return self.ending(images)

    def ending(self, images: list[Tensor]) -> list[Tensor]:
        """The images of stages that are smaller than those of this network, and the last ones in its size."""
        side = self.image_shape[1]
        return [*(image for image in images if image.shape[-1] < side), resampled(images[-1], side)]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.stage_images(noise, labels)[-1]

    def stage_images(self, latents: Tensor, labels: Tensor | None = None) -> list[Tensor]:
        """Images (N, C, h, h) of the stages of the inner network, then of the added blocks."""
        if not self.chain:
            *earlier, image = stage_images(self.inner, latents, labels)
            return self.ending([*earlier, *self.grow(None, image)])
        features = before_last(self.inner, latents, labels)  # (N, Z) -> (N, K, h, h)
        image = blocks(self.inner)[-1](features, labels)  # (N, K, h, h) -> (N, C, p, p)
        return self.grow(features, image)


class GrownMappedGenerator(GrownGenerator):
    """A grown generator whose inner network has an intermediate latent space."""

    def map(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        latents: Tensor = self.inner.map(noise, labels) if self.num_classes else self.inner.map(noise)
        return latents

    def truncate(self, latents: Tensor, psi: float) -> Tensor:
        moved: Tensor = self.inner.truncate(latents, psi)
        return moved

    def synthesize(self, latents: Tensor) -> Tensor:
        return self.stage_images(latents)[-1]

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.synthesize(self.map(noise, labels))


class GrownDiscriminator(Grown):
    """Maps images (N, C, H, W) in [-1, 1], and labels (N,) if class-conditional, to logits."""

    def __init__(self, inner: Any, image_size: int, sides: Sequence[Sequence[int]], width: int) -> None:
        super().__init__(inner, image_size, sides)
        channels = inner.image_shape[0]
        outputs, target = self.features or (channels, inner.image_shape[1])
        width = outputs if self.chain else width
        spectral = any(parametrize.is_parametrized(module) for module in inner.modules())
        for side in itertools.chain(*sides):
            self.added.append(DownBlock(channels, width, outputs, side, target, spectral))
            outputs, target = width, half(side)

    @property
    def blocks(self) -> list[nn.Module]:
        """The added blocks, the largest first, then the blocks of the inner network."""
        return [*reversed(self.added), *blocks(self.inner)]

    def shrink(self, images: Tensor) -> tuple[Tensor, Tensor | float]:
        """Images (N, C, p, p) for the inner network, and what is added to them or to its features."""
        details: Tensor | None = None
        sizes = [self.inner.image_shape[1], *itertools.chain(*self.sides)]
        images = resampled(images, sizes[-1])
        for index in reversed(range(len(self.added))):
            details = self.added[index](images, details)
            if index in self.starts:  # the images that the network before this growth would have got
                images = resampled(images, sizes[index])
        return images, 0.0 if details is None else details

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        small, details = self.shrink(images)  # (N, C, H, W) -> (N, C, p, p)
        if not self.chain:
            logits: Tensor = call(self.inner, small + details, labels)
            return logits
        first, *body, head = blocks(self.inner)
        features = first(small) + details  # (N, C, p, p) -> (N, K, h, h)
        for block in body:
            features = block(features)
        logits = head(features, need(self, labels))
        return logits


class GrownSelfSupervisedDiscriminator(GrownDiscriminator):
    """A grown discriminator whose inner network has a loss of its own, on the small images."""

    @property
    def terms_of_fake(self) -> bool:
        """Whether the loss has terms for fake images, too."""
        return getattr(self.inner, "terms_of_fake", False)

    def self_supervised(self, images: Tensor, labels: Tensor | None = None, **fake: bool) -> Any:
        """Logits and named loss terms of the inner network."""
        small, details = self.shrink(images)
        given = (small + details, labels) if self.num_classes else (small + details,)
        return self.inner.self_supervised(*given, **fake)


def is_chain(network: Any) -> bool:
    """Whether a network only calls its blocks in order, as the base classes do."""
    plain = any(
        isinstance(network, base) and type(network).forward is base.forward
        for base in (BlockGenerator, BlockDiscriminator)
    )
    return plain and len(blocks(network)) > 1 and not hasattr(network, "self_supervised")


def before_last(generator: Any, noise: Tensor, labels: Tensor | None) -> Tensor:
    """The input (N, K, h, h) of the last block of a chain."""
    features, labels = noise, need(generator, labels)
    for block in blocks(generator)[:-1]:
        features = block(features, labels)
    return features


@torch.no_grad()
def feature_shape(network: Any) -> tuple[int, int] | None:
    """Channels and side of a chain's feature map next to the image; None for any other network.

    It is computed on the meta device, which takes no memory.
    """
    if not is_chain(network):
        return None
    tensors = [*network.parameters(), *network.buffers()]
    shapes = copy.deepcopy(network, {id(t): t.detach().to("meta") for t in tensors}).eval()
    if isinstance(network, BlockGenerator):
        labels = torch.zeros(1, dtype=torch.long, device="meta")
        features = before_last(shapes, torch.zeros(1, network.latent_dim, device="meta"), labels)
    else:
        features = blocks(shapes)[0](torch.zeros(1, *network.image_shape, device="meta"))
    square = features.ndim == 4 and features.shape[2] == features.shape[3]
    return (features.shape[1], features.shape[2]) if square else None
