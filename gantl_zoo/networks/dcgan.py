"""DCGAN (Radford et al. 2015, https://arxiv.org/abs/1511.06434, section 3).

The image size is 7 or 4 times a power of two: 28 = 7·2², 32 = 4·2³, 64 = 4·2⁴. The generator starts on the
7×7 or 4×4 grid and doubles it. A 7×7 grid gets one more block at its own size, because two doublings alone
are too shallow (as in the well-known 28×28 DCGAN: 256 → 128 → 64 → 1 channels). In class-conditional networks
the generator's norms and the discriminator's head depend on the label (`conditional.py`).

N batch, C channels, H = W image size, Z latent size, L classes.
"""

from __future__ import annotations

from collections import OrderedDict
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.networks.base import BlockDiscriminator, BlockGenerator, check_sizes
from gantl_zoo.networks.conditional import (
    ConditionalBatchNorm2d,
    ConditionalSequential,
    Projection,
    call_layer,
    check_classes,
)

KERNEL = 5  # as in the paper; padded so that a stride of 2 exactly halves or doubles
NORMS = ("none", "batch", "spectral")
MOST_FLAT = 8  # because each flat block doubles the width


def grid_and_strides(image_size: int) -> tuple[int, list[int]]:
    """The side of the generator's first grid, and the strides of its transposed convolutions."""
    for grid, first in ((7, [1]), (4, [])):
        doublings = (image_size // grid).bit_length() - 1
        if doublings >= 1 and grid << doublings == image_size:
            return grid, first + [2] * doublings
    raise UsageError(f"dcgan: image_size {image_size} is not 7 or 4 times a power of two (28, 32, 56, 64, …)")


class Stem(nn.Module):
    """Maps noise (N, Z) to the first feature map (N, channels, grid, grid)."""

    def __init__(self, latent_dim: int, channels: int, grid: int, num_classes: int) -> None:
        super().__init__()
        self.shape = (channels, grid, grid)
        self.linear = nn.Linear(latent_dim, channels * grid * grid, bias=False)
        self.norm = ConditionalBatchNorm2d(channels, num_classes)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.linear(noise).view(-1, *self.shape)  # (N, Z) -> (N, channels, grid, grid)
        features = features.contiguous(memory_format=torch.channels_last)  # the layout of the convolutions
        return torch.relu_(call_layer(self.norm, features, labels))


def up_block(inputs: int, outputs: int, stride: int, num_classes: int, last: bool) -> ConditionalSequential:
    """A transposed convolution with norm and ReLU; the last one has tanh and no norm (section 3)."""
    conv = nn.ConvTranspose2d(
        inputs, outputs, KERNEL, stride, padding=KERNEL // 2, output_padding=stride - 1, bias=last
    )
    if last:
        return ConditionalSequential(OrderedDict(conv=conv, tanh=nn.Tanh()))
    norm = ConditionalBatchNorm2d(outputs, num_classes)
    return ConditionalSequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU(inplace=True)))


class DCGANGenerator(BlockGenerator):
    """A stem, then transposed convolutions: (N, Z) -> (N, 4w, 7, 7) -> … -> (N, C, H, W)."""

    def __init__(
        self, image_size: int, channels: int, width: int, latent_dim: int, num_classes: int = 0
    ) -> None:
        super().__init__()
        grid, strides = grid_and_strides(image_size)
        widths = [width << i for i in reversed(range(len(strides)))]  # 4w, 2w, w
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.image_shape = (channels, image_size, image_size)
        self.blocks = nn.ModuleList([Stem(latent_dim, widths[0], grid, num_classes)])
        for i, (inputs, stride) in enumerate(zip(widths, strides, strict=True)):
            last = i == len(strides) - 1
            outputs = channels if last else widths[i + 1]
            self.blocks.append(up_block(inputs, outputs, stride, num_classes, last))
        self.apply(init_weights)


class Head(nn.Module):
    """Maps features (N, K, grid, grid) to logits (N,). No sigmoid: the losses expect logits.

    If class-conditional, the logit says whether the image is real and belongs to the class of its label.
    """

    def __init__(self, features: int, spectral: bool, num_classes: int) -> None:
        super().__init__()
        linear = nn.Linear(features, 1)
        init_weights(linear)
        self.linear = nn.utils.parametrizations.spectral_norm(linear) if spectral else linear
        self.classes: Projection | None = None
        if num_classes:
            self.classes = Projection(num_classes, features, bounded=spectral)
            init_weights(self.classes)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        features = features.flatten(1)  # (N, K, grid, grid) -> (N, K·grid·grid)
        logits: Tensor = self.linear(features).squeeze(1)  # (N, 1) -> (N,)
        return logits if self.classes is None else logits + self.classes(features, labels)


def down_block(inputs: int, outputs: int, stride: int, norm: str, dropout: float) -> nn.Sequential:
    """A strided convolution with norm, leaky ReLU and dropout; stride 2 halves the side."""
    conv: nn.Module = nn.Conv2d(inputs, outputs, KERNEL, stride, padding=KERNEL // 2)
    init_weights(conv)  # first, because spectral_norm measures the weights
    if norm == "spectral":
        conv = nn.utils.parametrizations.spectral_norm(conv)
    layers: OrderedDict[str, nn.Module] = OrderedDict(conv=conv)
    if norm == "batch":
        layers["norm"] = nn.BatchNorm2d(outputs)
        init_weights(layers["norm"])
    layers["relu"] = nn.LeakyReLU(0.2, inplace=True)
    if dropout:
        layers["dropout"] = nn.Dropout(dropout)
    return nn.Sequential(layers)


class DCGANDiscriminator(BlockDiscriminator):
    """Strided convolutions, then a linear head: (N, C, H, W) -> (N, w, H/2, W/2) -> … -> (N,)."""

    def __init__(
        self,
        image_size: int,
        channels: int,
        width: int,
        norm: str,
        dropout: float,
        flat: int,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.num_classes = num_classes
        grid, strides = grid_and_strides(image_size)
        halvings = strides.count(2)
        widths = [width << i for i in range(halvings + flat)]  # w, 2w, 4w
        self.image_shape = (channels, image_size, image_size)
        # no BatchNorm next to the image (section 3)
        first = down_block(channels, width, 2, "none" if norm == "batch" else norm, dropout)
        self.blocks = nn.ModuleList([first])
        for i, (inputs, outputs) in enumerate(pairwise(widths), 1):
            self.blocks.append(down_block(inputs, outputs, 2 if i < halvings else 1, norm, dropout))
        self.blocks.append(Head(widths[-1] * grid * grid, norm == "spectral", num_classes))


def init_weights(module: nn.Module) -> None:
    """Initialise weights from N(0, 0.02²) (section 4), and the scales of norms from N(1, 0.02²)."""
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear, nn.Embedding)):
        nn.init.normal_(module.weight, 0.0, 0.02)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def generator(
    *, image_size: int = 28, channels: int = 1, width: int = 64, latent_dim: int = 100, num_classes: int = 0
) -> DCGANGenerator:
    """DCGAN generator (Radford et al. 2015). Paper: https://arxiv.org/abs/1511.06434, section 3.

    `image_size`: height and width of the images in pixels; 7 or 4 times a power of two, such as 28 or 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the last hidden layer; each layer before it has twice as many.
    `latent_dim`: size of the latent vector.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    """
    check_sizes("dcgan", channels=channels, width=width, latent_dim=latent_dim)
    return DCGANGenerator(image_size, channels, width, latent_dim, check_classes("dcgan", num_classes))


def discriminator(
    *,
    image_size: int = 28,
    channels: int = 1,
    width: int = 64,
    norm: str = "none",
    dropout: float = 0.0,
    flat: int = 0,
    num_classes: int = 0,
) -> DCGANDiscriminator:
    """DCGAN discriminator (Radford et al. 2015). Paper: https://arxiv.org/abs/1511.06434, section 3.

    `image_size`: height and width of the images in pixels; 7 or 4 times a power of two, such as 28 or 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the first layer; each layer after it has twice as many.
    `norm`: normalization of the layers: "none", "batch" (as in the paper) or "spectral".
    `dropout`: probability of dropout after each block, from 0 to 1.
    `flat`: number of blocks of stride 1 that follow the halving blocks, from 0 to 8. They enlarge the
        receptive field: for 28×28 images, one block enlarges it from 13 to 29 pixels.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    """
    if norm not in NORMS:
        raise UsageError(f"dcgan: {unknown('norm', norm, NORMS)}")
    if not 0 <= flat <= MOST_FLAT:
        raise UsageError(f"dcgan: flat must be a number of blocks from 0 to {MOST_FLAT}, not {flat}")
    check_sizes("dcgan", channels=channels, width=width)
    check_classes("dcgan", num_classes)
    return DCGANDiscriminator(image_size, channels, width, norm, dropout, flat, num_classes)
