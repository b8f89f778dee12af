"""The DCGAN of PyTorch's examples (Radford et al. 2015, https://arxiv.org/abs/1511.06434).

It differs from `dcgan.py`: 4×4 kernels, BatchNorm in both networks, convolutions at both ends, no bias. The
tensors have the names of that example, `main.0.weight` and so on, so its files load as they are. The
discriminator returns logits: the example's sigmoid belongs to the loss.

N batch, C channels, H = W image size, Z latent size, w width.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import BlockDiscriminator, BlockGenerator, check_sizes
from gantl_zoo.networks.conditional import ConditionalSequential
from gantl_zoo.networks.dcgan import init_weights

KERNEL = 4  # of all convolutions; also the side of the smallest feature map
SLOPE = 0.2


def doublings_to(image_size: int) -> int:
    """How often a side of 4 doubles up to the image size. Raises `UsageError` if it is not a power of two."""
    doublings = (image_size // KERNEL).bit_length() - 1
    if doublings < 1 or KERNEL << doublings != image_size:
        raise UsageError(f"dcgan-examples: image_size {image_size} is not a power of two from 8 (64, 128, …)")
    return doublings


class Start(nn.ConvTranspose2d):
    """Maps noise (N, Z) to the first feature map (N, K, 4, 4)."""

    def forward(self, noise: Tensor) -> Tensor:  # type: ignore[override]
        return super().forward(noise[:, :, None, None])  # (N, Z) -> (N, Z, 1, 1) -> (N, K, 4, 4)


class ExamplesGenerator(BlockGenerator):
    """Transposed convolutions: (N, Z) -> (N, 8w, 4, 4) -> (N, 4w, 8, 8) -> … -> (N, C, H, W)."""

    def __init__(self, image_size: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        widths = [width << i for i in reversed(range(doublings_to(image_size)))]  # 8w, 4w, 2w, w
        self.latent_dim, self.image_shape = latent_dim, (channels, image_size, image_size)
        groups: list[list[nn.Module]] = [
            [Start(latent_dim, widths[0], KERNEL, bias=False), nn.BatchNorm2d(widths[0]), nn.ReLU(True)]
        ]
        for inputs, outputs in pairwise(widths):
            conv = nn.ConvTranspose2d(inputs, outputs, KERNEL, 2, padding=1, bias=False)
            groups.append([conv, nn.BatchNorm2d(outputs), nn.ReLU(True)])
        groups.append([nn.ConvTranspose2d(widths[-1], channels, KERNEL, 2, padding=1, bias=False), nn.Tanh()])
        self.main, self.blocks = sequence(groups)  # type: ignore[assignment]
        self.apply(init_weights)


class ExamplesDiscriminator(BlockDiscriminator):
    """Convolutions: (N, C, H, W) -> (N, w, H/2, W/2) -> … -> (N, 8w, 4, 4) -> (N,)."""

    def __init__(self, image_size: int, channels: int, width: int) -> None:
        super().__init__()
        widths = [width << i for i in range(doublings_to(image_size))]  # w, 2w, 4w, 8w
        self.image_shape = (channels, image_size, image_size)
        conv: nn.Module = nn.Conv2d(channels, width, KERNEL, 2, padding=1, bias=False)
        groups: list[list[nn.Module]] = [[conv, nn.LeakyReLU(SLOPE, True)]]  # no norm next to the image
        for inputs, outputs in pairwise(widths):
            conv = nn.Conv2d(inputs, outputs, KERNEL, 2, padding=1, bias=False)
            groups.append([conv, nn.BatchNorm2d(outputs), nn.LeakyReLU(SLOPE, True)])
        head = nn.Conv2d(widths[-1], 1, KERNEL, bias=False)
        groups.append([head, nn.Flatten(0)])  # (N, 8w, 4, 4) -> (N, 1, 1, 1) -> (N,)
        self.main, self.blocks = sequence(groups)  # type: ignore[assignment]
        self.apply(init_weights)


def sequence(
    groups: list[list[nn.Module]],
) -> tuple[ConditionalSequential, tuple[ConditionalSequential, ...]]:
    """All layers in one sequence, which names the tensors, and the blocks, which share the layers.

    A tuple is no submodule, so each tensor has one name.
    """
    layers = [layer for group in groups for layer in group]
    return ConditionalSequential(*layers), tuple(ConditionalSequential(*group) for group in groups)


def generator(
    *, image_size: int = 64, channels: int = 3, width: int = 64, latent_dim: int = 100
) -> ExamplesGenerator:
    """DCGAN generator of PyTorch's examples. Paper: https://arxiv.org/abs/1511.06434, section 3.

    `image_size`: height and width of the images in pixels; a power of two from 8, in the example 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the last hidden layer (`ngf`); each layer before it has twice as many.
    `latent_dim`: size of the latent vector (`nz`).
    """
    check_sizes("dcgan-examples", channels=channels, width=width, latent_dim=latent_dim)
    return ExamplesGenerator(image_size, channels, width, latent_dim)


def discriminator(*, image_size: int = 64, channels: int = 3, width: int = 64) -> ExamplesDiscriminator:
    """DCGAN discriminator of PyTorch's examples. Paper: https://arxiv.org/abs/1511.06434, section 3.

    `image_size`: height and width of the images in pixels; a power of two from 8, in the example 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the first layer (`ndf`); each layer after it has twice as many.
    """
    check_sizes("dcgan-examples", channels=channels, width=width)
    return ExamplesDiscriminator(image_size, channels, width)
