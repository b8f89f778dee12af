"""A generator with resize-convolutions, which produce no checkerboard artefacts.

Odena et al. 2016, "Deconvolution and Checkerboard Artifacts", https://distill.pub/2016/deconv-checkerboard

N batch, C channels, H = W image side, Z latent size.
"""

from __future__ import annotations

from itertools import pairwise

from torch import Tensor, nn

from gantl_zoo import UsageError

GRID = 4


def up_block(inputs: int, outputs: int) -> nn.Sequential:
    """Upsample by two with nearest neighbours, then convolve with a 3×3 kernel."""
    return nn.Sequential(
        nn.Upsample(scale_factor=2),
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
    )


class ResizeConvGenerator(nn.Module):
    """Maps noise (N, Z) to images (N, C, H, W) in [-1, 1]. `blocks` are in the order of the forward pass."""

    num_classes = 0

    def __init__(self, image_size: int, channels: int, width: int, latent_dim: int) -> None:
        super().__init__()
        doublings = (image_size // GRID).bit_length() - 1
        if doublings < 1 or GRID << doublings != image_size:
            raise UsageError(
                f"resize-conv: image_size {image_size} is not 4 times a power of two (8, 16, 32, …)"
            )
        self.latent_dim = latent_dim
        self.image_shape = (channels, image_size, image_size)
        widths = [width << i for i in reversed(range(doublings + 1))]  # 4w, 2w, w
        stem = nn.Sequential(
            nn.Linear(latent_dim, widths[0] * GRID**2),
            nn.Unflatten(1, (widths[0], GRID, GRID)),
            nn.BatchNorm2d(widths[0]),
            nn.ReLU(),
        )
        ups = [up_block(i, o) for i, o in pairwise(widths)]
        last = nn.Sequential(nn.Conv2d(width, channels, 3, padding=1), nn.Tanh())
        self.blocks = nn.ModuleList([stem, *ups, last])

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features = noise  # (N, Z)
        for block in self.blocks:
            features = block(features)  # (N, 4w, 4, 4) -> ... -> (N, C, H, W)
        return features


def generator(
    *, image_size: int = 32, channels: int = 1, width: int = 32, latent_dim: int = 64
) -> ResizeConvGenerator:
    """Generator with resize-convolutions (Odena et al. 2016). They produce no checkerboard artefacts.

    `image_size`: height and width of the images in pixels; 4 times a power of two, such as 32 or 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the last hidden layer; each layer before it has twice as many.
    `latent_dim`: size of the latent vector.
    """
    return ResizeConvGenerator(image_size, channels, width, latent_dim)
