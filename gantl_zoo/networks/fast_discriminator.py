"""The discriminator of FastGAN (Liu et al. 2021, https://arxiv.org/abs/2101.04775, section 3.2).

It is trained as the encoder of an autoencoder, too: small decoders reconstruct real images from its feature
maps (`self_supervised`, `fast_decoders.py`). From 256×256 on the layers are the published ones: with
`width=64` the discriminator for 256×256 has 11.53 million parameters, as many as the published one. Smaller
images have a table of their own: the same maps from the image's side down to 8×8, without the second branch.

Two differences from the published code: the second branch gets the image averaged to 128×128, and only
convolutions without a BatchNorm behind them are normalised spectrally. BatchNorm cancels the scale of a
convolution, so the others compute the same.

N batch, C channels, H = W image size, K channels of a feature map h × w, L logits of an image.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from gantl_zoo.networks.base import check_sizes, feature_maps, need
from gantl_zoo.networks.conditional import Projection, check_classes
from gantl_zoo.networks.fast import SkipExcitation, init_weights, sides_of
from gantl_zoo.networks.fast_decoders import Decoders, check_loss, pooled

LARGEST = 256  # side of the first map of large images
SECOND = 128  # side of the second branch's images; images of at least twice this side have that branch
SKIP = 3  # a map is scaled by the one three blocks before, which is eight times as large
PADDING = {1: 0, 3: 1, 4: 1}  # by kernel size


def channels_at(side: int, width: int) -> int:
    """The number of channels of the map of this side: `width` at 64×64, twice as many at 32×32."""
    return max(1, 64 * width // side)


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1, spectral: bool = False) -> nn.Module:
    """A convolution without bias. A kernel of 4 is padded by 1, so that a stride of 2 halves the side."""
    conv = nn.Conv2d(inputs, outputs, kernel, stride, PADDING[kernel], bias=False)
    init_weights(conv)  # first, because spectral_norm measures the weights
    return spectral_norm(conv) if spectral else conv


def normed(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution, BatchNorm and leaky ReLU."""
    norm = nn.BatchNorm2d(outputs)
    init_weights(norm)
    layers = OrderedDict(conv=convolution(inputs, outputs, kernel, stride), norm=norm)
    return nn.Sequential(OrderedDict(layers, relu=nn.LeakyReLU(0.2, inplace=True)))


def entry(channels: int, outputs: int, kernel: int, stride: int) -> nn.Sequential:
    """A layer whose input is the image: without BatchNorm."""
    conv = convolution(channels, outputs, kernel, stride, spectral=True)
    return nn.Sequential(OrderedDict(conv=conv, relu=nn.LeakyReLU(0.2, inplace=True)))


def stem(image_size: int, channels: int, width: int) -> nn.Sequential:
    """Maps images (N, C, H, W) to the first map, whose side is that of the image, but 256 at most."""
    outputs = channels_at(min(image_size, LARGEST), width)
    if image_size <= LARGEST:
        return entry(channels, outputs, 3, 1)
    if image_size == 2 * LARGEST:
        return entry(channels, outputs, 4, 2)
    half = max(1, outputs // 2)
    return nn.Sequential(*entry(channels, half, 4, 2), *normed(half, outputs, 4, 2))


def second_level(side: int, channels: int, width: int) -> nn.Sequential | None:
    """The layer of the second branch that returns maps of this side, 64 or less; None for larger maps."""
    outputs = channels_at(2 * side, width)
    if side >= SECOND // 2:
        return entry(channels, outputs, 4, 2) if side == SECOND // 2 else None
    return normed(channels_at(4 * side, width), outputs, 4, 2)


class DownBlock(nn.Module):
    """(N, K, h, w) -> (N, 2K, h/2, w/2): the mean of two convolutions and of a pooled shortcut.

    With a `skip_length` the map that many blocks before scales the channels of the result. `second` is the
    layer of the second branch at this level; the network calls it.
    """

    def __init__(self, side: int, width: int, skip_length: int, second: nn.Module | None) -> None:
        super().__init__()
        inputs, outputs = channels_at(2 * side, width), channels_at(side, width)
        self.convs = nn.Sequential(normed(inputs, outputs, 4, 2), normed(outputs, outputs, 3))
        self.shortcut = normed(inputs, outputs, 1)
        self.second, self.skip_length = second, skip_length
        self.excitation: SkipExcitation | None = None
        if skip_length:
            self.excitation = SkipExcitation(channels_at(side << skip_length, width), outputs)
            for conv in (self.excitation.squeeze, self.excitation.excite):
                init_weights(conv)
                spectral_norm(conv)

    def forward(self, features: Tensor, earlier: Tensor | None = None) -> Tensor:
        shortcut = self.shortcut(functional.avg_pool2d(features, 2))  # (N, K, h, w) -> (N, 2K, h/2, w/2)
        result: Tensor = (self.convs(features) + shortcut) / 2
        return result if self.excitation is None else self.excitation(earlier, result)


class Head(nn.Module):
    """Maps features (N, 8·width, 8, 8), and those of the second branch, to logits (N, L); has the decoders.

    L is 25, one logit for each place of a 5×5 grid, or 50 with the second branch. If class-conditional, the
    same term is added to all logits of an image.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], width: int, second: bool, loss: str, num_classes: int
    ) -> None:
        super().__init__()
        self.hidden = normed(8 * width, 16 * width, 1)
        self.logits = scores(16 * width)
        self.second = scores(4 * width) if second else None
        self.decoders = None if loss == "none" else Decoders(image_shape, width, second, loss)
        self.classes: Projection | None = None
        if num_classes:
            self.classes = Projection(num_classes, 16 * width, bounded=True)
            nn.init.normal_(self.classes.weight, 0.0, 0.02)

    def forward(self, features: Tensor, labels: Tensor | None = None, second: Tensor | None = None) -> Tensor:
        hidden = self.hidden(features)  # (N, 8w, 8, 8) -> (N, 16w, 8, 8)
        logits: Tensor = self.logits(hidden).flatten(1)  # (N, 16w, 8, 8) -> (N, 1, 5, 5) -> (N, 25)
        if self.second is not None:
            logits = torch.cat([logits, self.second(second).flatten(1)], 1)  # (N, 50)
        if self.classes is not None:
            logits = logits + self.classes(hidden.mean((2, 3)), labels)[:, None]
        return logits


def scores(channels: int) -> nn.Module:
    """Maps features (N, channels, 8, 8) to a 5×5 grid of logits (N, 1, 5, 5)."""
    conv = nn.Conv2d(channels, 1, 4, bias=False)
    init_weights(conv)
    return spectral_norm(conv)


class FastDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1], and labels (N,) if class-conditional, to logits (N, L)."""

    def __init__(self, image_size: int, channels: int, width: int, loss: str, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.image_shape = (channels, image_size, image_size)
        sides = sides_of(image_size)  # first, because it checks the size
        first, second = min(image_size, LARGEST), image_size >= 2 * SECOND
        self.blocks = nn.ModuleList([stem(image_size, channels, width)])
        for side in (s for s in reversed(sides) if s < first):
            level = second_level(side, channels, width) if second else None
            self.blocks.append(DownBlock(side, width, SKIP if side << SKIP <= first else 0, level))
        self.blocks.append(Head(self.image_shape, width, second, loss, num_classes))

    def encode(self, images: Tensor) -> tuple[list[Tensor], Tensor | None]:
        """The maps of all blocks but the head, and the last map of the second branch, if there is one."""
        *body, _ = self.blocks
        second = None
        layers: list[Any] = [getattr(block, "second", None) for block in body]
        for layer in (one for one in layers if one is not None):
            second = layer(pooled(images, SECOND) if second is None else second)  # (N, K, 64, 64), …
        return feature_maps(body, images), second

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        maps, second = self.encode(images)
        logits: Tensor = self.blocks[-1](maps[-1], need(self, labels), second)
        return logits

    def self_supervised(
        self, images: Tensor, labels: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The logits (N, L) of real images, and the loss of reconstructing these from the feature maps."""
        maps, second = self.encode(images)
        head: Any = self.blocks[-1]
        logits = head(maps[-1], need(self, labels), second)
        if head.decoders is None:
            return logits, {}
        # the target is fixed: blocks added before this network must not make it easier to reconstruct
        return logits, {"reconstruction": head.decoders(images.detach(), maps[-1], maps[-2], second)}


def discriminator(
    *,
    image_size: int = 64,
    channels: int = 3,
    width: int = 32,
    reconstruction: str = "mse",
    num_classes: int = 0,
) -> FastDiscriminator:
    """FastGAN discriminator (Liu et al. 2021). Paper: https://arxiv.org/abs/2101.04775, section 3.2.

    It also learns to reconstruct real images. Train it with the hinge loss and DiffAugment.

    `image_size`: height and width of the images in pixels; a power of two from 32 to 1024.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels at 64×64; the 8×8 map has 8 times as many. The paper's is 64.
    `reconstruction`: loss of the reconstructions: "mse" (mean squared error), "pd_NAME" (perceptual distance
        by the released classifier NAME, such as pd_efficientnet-lite0-imagenet) or "none" (no decoders).
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    """
    check_sizes("fast", channels=channels, width=width)
    check_loss(reconstruction)
    return FastDiscriminator(image_size, channels, width, reconstruction, check_classes("fast", num_classes))
