"""Residual GAN with spectral normalization.

Miyato et al. 2018, https://arxiv.org/abs/1802.05957, appendix B, table 4. The blocks are those of Gulrajani
et al. 2017, https://arxiv.org/abs/1704.00028, appendix F.

The image size is 7 or 4 times a power of two. The generator doubles that grid block by block. The
discriminator halves the image to 8×8 (7×7 for sizes such as 28); two blocks at that size follow. In
class-conditional networks the generator's norms and the discriminator's head depend on the label
(`conditional.py`).

N batch, C channels, H = W image size, Z latent size, W width, L classes.
"""

from __future__ import annotations

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

from gantl_zoo.errors import UsageError, unknown
from gantl_zoo.networks.base import BlockDiscriminator, BlockGenerator, check_sizes
from gantl_zoo.networks.conditional import (
    ConditionalBatchNorm2d,
    ConditionalSequential,
    Projection,
    call_layer,
    check_classes,
)

NORMS = ("none", "spectral")


def grid_and_doublings(image_size: int) -> tuple[int, int]:
    """The side of the smallest grid, and the number of doublings from it to the image."""
    for grid in (7, 4):
        doublings = (image_size // grid).bit_length() - 1
        if doublings >= 2 and grid << doublings == image_size:
            return grid, doublings
    raise UsageError(
        f"resnet: image_size {image_size} is not 7 or 4 times a power of two (16, 28, 32, 64, …)"
    )


class UpBlock(nn.Module):
    """Residual block (N, W, H, H) -> (N, W, 2H, 2H): two BatchNorm-ReLU-convolutions and a 1×1 shortcut."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.norm1 = ConditionalBatchNorm2d(width, num_classes)
        self.conv1 = nn.Conv2d(width, width, 3, padding=1)
        self.norm2 = ConditionalBatchNorm2d(width, num_classes)
        self.conv2 = nn.Conv2d(width, width, 3, padding=1)
        self.shortcut = nn.Conv2d(width, width, 1)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        new = double(torch.relu_(call_layer(self.norm1, features, labels)))  # (N, W, H, H) -> (N, W, 2H, 2H)
        new = self.conv2(torch.relu_(call_layer(self.norm2, self.conv1(new), labels)))
        # a 1×1 convolution before upsampling takes a quarter of the time
        result: Tensor = new.add_(double(self.shortcut(features)))
        return result


def double(features: Tensor) -> Tensor:
    """Upsample to twice the side by nearest neighbours."""
    return functional.interpolate(features, scale_factor=2.0)


class Stem(nn.Module):
    """Maps noise (N, Z) to the first feature map (N, W, grid, grid)."""

    def __init__(self, latent_dim: int, width: int, grid: int) -> None:
        super().__init__()
        self.shape = (width, grid, grid)
        self.linear = nn.Linear(latent_dim, width * grid * grid)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features: Tensor = self.linear(noise).view(-1, *self.shape)  # (N, Z) -> (N, W, grid, grid)
        return features.contiguous(memory_format=torch.channels_last)  # the layout of the convolutions


class ResNetGenerator(BlockGenerator):
    """A stem, residual blocks that double the side, a last convolution: (N, Z) -> (N, C, H, W)."""

    def __init__(
        self, image_size: int, channels: int, width: int, latent_dim: int, num_classes: int = 0
    ) -> None:
        super().__init__()
        grid, doublings = grid_and_doublings(image_size)
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.image_shape = (channels, image_size, image_size)
        last = OrderedDict(
            norm=ConditionalBatchNorm2d(width, num_classes),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(width, channels, 3, padding=1),
            tanh=nn.Tanh(),
        )
        ups = [UpBlock(width, num_classes) for _ in range(doublings)]
        self.blocks = nn.ModuleList([Stem(latent_dim, width, grid), *ups, ConditionalSequential(last)])
        self.apply(init_weights)


class DownBlock(nn.Module):
    """Residual block (N, K, H, H) -> (N, W, H/2, H/2), or (N, W, H, H) if not `halve`.

    The `first` block begins without an activation, because its input is the image.
    """

    def __init__(self, inputs: int, width: int, norm: str, *, halve: bool, first: bool = False) -> None:
        super().__init__()
        self.halve, self.first = halve, first
        self.conv1 = normed(nn.Conv2d(inputs, width, 3, padding=1), norm)
        self.conv2 = normed(nn.Conv2d(width, width, 3, padding=1), norm)
        changes = halve or inputs != width
        self.shortcut = normed(nn.Conv2d(inputs, width, 1), norm) if changes else nn.Identity()

    def forward(self, features: Tensor) -> Tensor:
        new = features if self.first else torch.relu(features)
        new = self.conv2(torch.relu_(self.conv1(new)))
        if self.halve:  # averaging and a 1×1 convolution commute: the smaller input is cheaper
            new, features = functional.avg_pool2d(new, 2), functional.avg_pool2d(features, 2)
        result: Tensor = new.add_(self.shortcut(features))
        return result


class Head(nn.Module):
    """Maps features (N, W, h, h) to logits (N,): ReLU, sum over positions, linear layer.

    If class-conditional, the logit says whether the image is real and belongs to the class of its label.
    """

    def __init__(self, width: int, norm: str, num_classes: int) -> None:
        super().__init__()
        self.linear = normed(nn.Linear(width, 1), norm)
        self.classes: Projection | None = None
        if num_classes:
            self.classes = Projection(num_classes, width, bounded=norm == "spectral")
            init_weights(self.classes)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        features = torch.relu(features).sum(dim=(2, 3))  # (N, W, h, h) -> (N, W)
        logits: Tensor = self.linear(features).squeeze(1)  # (N, 1) -> (N,)
        return logits if self.classes is None else logits + self.classes(features, labels)


class ResNetDiscriminator(BlockDiscriminator):
    """Residual blocks that halve the side, two that keep it, a head: (N, C, H, W) -> (N,)."""

    def __init__(self, image_size: int, channels: int, width: int, norm: str, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        grid, doublings = grid_and_doublings(image_size)
        halvings = doublings if grid == 7 else doublings - 1  # to 7×7 or 8×8
        self.image_shape = (channels, image_size, image_size)
        downs = [DownBlock(channels, width, norm, halve=True, first=True)]
        downs += [DownBlock(width, width, norm, halve=True) for _ in range(halvings - 1)]
        flat = [DownBlock(width, width, norm, halve=False) for _ in range(2)]
        self.blocks = nn.ModuleList([*downs, *flat, Head(width, norm, num_classes)])


def normed(layer: nn.Module, norm: str) -> nn.Module:
    """Initialise a layer, then add spectral norm (which measures the weights) if `norm` is "spectral"."""
    init_weights(layer)
    return parametrizations.spectral_norm(layer) if norm == "spectral" else layer


def init_weights(module: nn.Module) -> None:
    """Xavier-uniform weights with gain √2 for the 3×3 convolutions of residual branches; zero biases."""
    if isinstance(module, (nn.Conv2d, nn.Linear, nn.Embedding)):
        gain = math.sqrt(2) if isinstance(module, nn.Conv2d) and module.kernel_size == (3, 3) else 1.0
        nn.init.xavier_uniform_(module.weight, gain)
        if not isinstance(module, nn.Embedding) and module.bias is not None:
            nn.init.zeros_(module.bias)


def generator(
    *, image_size: int = 32, channels: int = 3, width: int = 256, latent_dim: int = 128, num_classes: int = 0
) -> ResNetGenerator:
    """Residual generator of SNGAN (Miyato et al. 2018). Paper: https://arxiv.org/abs/1802.05957, table 4.

    `image_size`: height and width of the images in pixels; 16, 28, or one of them times a power of two.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of all hidden layers.
    `latent_dim`: size of the latent vector.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    """
    check_sizes("resnet", channels=channels, width=width, latent_dim=latent_dim)
    return ResNetGenerator(image_size, channels, width, latent_dim, check_classes("resnet", num_classes))


def discriminator(
    *,
    image_size: int = 32,
    channels: int = 3,
    width: int = 128,
    norm: str = "spectral",
    num_classes: int = 0,
) -> ResNetDiscriminator:
    """Residual discriminator of SNGAN (Miyato et al. 2018). Paper: https://arxiv.org/abs/1802.05957, table 4.

    `image_size`: height and width of the images in pixels; 16, 28, or one of them times a power of two.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of all hidden layers.
    `norm`: normalization of the layers: "spectral" (as in the paper) or "none", for example with R1.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    """
    if norm not in NORMS:
        raise UsageError(f"resnet: {unknown('norm', norm, NORMS)}")
    check_sizes("resnet", channels=channels, width=width)
    return ResNetDiscriminator(image_size, channels, width, norm, check_classes("resnet", num_classes))
