"""The generator of FastGAN (Liu et al. 2021, https://arxiv.org/abs/2101.04775, section 3.1).

Each block doubles the map by nearest neighbours before it convolves, so that the images have no checkerboard.
Skip-layer excitation (SLE) lets a small map scale the channels of a large one. The published network has 64
channels at 128×128 and images of 256×256 or more; smaller images have a table of their own (`SKIPS`).

The published code also normalises the weights of each convolution spectrally. BatchNorm follows almost every
convolution here and cancels their scale, so that is left out. Noise is added in training mode only: a model
that generates gives the same image for the same latent.

N batch, C channels, H = W image size, Z latent size, K channels of a map h × w.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import check_sizes, need
from gantl_zoo.networks.conditional import ConditionalBatchNorm2d, call_layer, check_classes

GRID = 4  # side of the first map
# channels of a map by its side, as multiples of the width (the published code)
MULTIPLES = {4: 16, 8: 8, 16: 4, 32: 2, 64: 2, 128: 1, 256: 0.5, 512: 0.25, 1024: 0.125}
DEEP = (8, 32, 128, 512)  # sides of the maps whose block has two convolutions
PUBLISHED_SKIPS = {64: 4, 128: 8, 256: 16, 512: 32}  # side of a map to side of the map that scales it
SKIPS = {
    32: 4,
    64: 8,
}  # the same, for images of at most 64×64: the published ones would leave them one or none
DEPTH = 2  # of an odd width, at least this many channels


def channels_at(side: int, width: int) -> int:
    """The number of channels of the map of this side."""
    return max(DEPTH, int(MULTIPLES[side] * width))


def sides_of(image_size: int) -> list[int]:
    """The sides of all maps after the first: 8, 16, … to the image size. Raises `UsageError`."""
    sides = [side for side in MULTIPLES if GRID < side <= image_size]
    if len(sides) < 3 or sides[-1] != image_size:
        raise UsageError(f"fast: image_size {image_size} is not a power of two from 32 to 1024")
    return sides


class Gated(nn.Module):
    """BatchNorm, then a gated linear unit: (N, 2K, h, w) -> (N, K, h, w)."""

    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = ConditionalBatchNorm2d(2 * channels, num_classes)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        # not functional.glu: its gradient is not channels-last, which makes BatchNorm's six times slower
        values, gates = call_layer(self.norm, features, labels).chunk(2, dim=1)  # (N, K, h, w) each
        if gates.device.type == "cpu":
            gates = gates.clone()  # without the gaps of `values`, sigmoid takes a fifth of the time
        return values * torch.sigmoid(gates)


class Noise(nn.Module):
    """Adds a map of noise (N, 1, h, w) with a learned strength, in training mode only."""

    def __init__(self) -> None:
        super().__init__()
        self.strength = nn.Parameter(torch.zeros(1))

    def forward(self, features: Tensor) -> Tensor:
        if not self.training:
            return features
        count, _, height, width = features.shape
        noise = torch.randn(count, 1, height, width, device=features.device, dtype=features.dtype)
        # on a CPU, addcmul takes seven times as long in bf16
        return features + self.strength.to(features.dtype) * noise


class Stem(nn.Module):
    """Maps noise (N, Z) to the first map (N, K, 4, 4)."""

    def __init__(self, latent_dim: int, channels: int, num_classes: int) -> None:
        super().__init__()
        self.shape = (2 * channels, GRID, GRID)
        self.linear = nn.Linear(latent_dim, 2 * channels * GRID * GRID, bias=False)
        self.gate = Gated(channels, num_classes)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.linear(noise).view(-1, *self.shape)  # (N, Z) -> (N, 2K, 4, 4)
        features = features.contiguous(memory_format=torch.channels_last)  # the layout of the convolutions
        gated: Tensor = self.gate(features, labels)
        return gated


class SkipExcitation(nn.Module):
    """Scales the channels of a large map (N, K, h, w) by what a small map (N, J, 4, 4) or larger says."""

    def __init__(self, small: int, channels: int) -> None:
        super().__init__()
        self.pool = nn.AdaptiveAvgPool2d(GRID)
        self.squeeze = nn.Conv2d(small, channels, GRID, bias=False)
        self.excite = nn.Conv2d(channels, channels, 1, bias=False)

    def forward(self, small: Tensor, large: Tensor) -> Tensor:
        scales = functional.silu(self.squeeze(self.pool(small)))  # (N, J, h, w) -> (N, K, 1, 1)
        return large * torch.sigmoid(self.excite(scales))


class UpBlock(nn.Module):
    """Nearest-neighbour upsampling and one or two gated convolutions: (N, J, h, w) -> (N, K, 2h, 2w)."""

    def __init__(self, inputs: int, outputs: int, deep: bool, skip: int, num_classes: int) -> None:
        super().__init__()
        widths = [inputs, outputs] if deep else [inputs]
        self.convs = nn.ModuleList(
            nn.Conv2d(width, 2 * outputs, 3, padding=1, bias=False) for width in widths
        )
        self.noises = nn.ModuleList(Noise() if deep else nn.Identity() for _ in widths)
        self.gates = nn.ModuleList(Gated(outputs, num_classes) for _ in widths)
        self.skip = SkipExcitation(skip, outputs) if skip else None

    def forward(self, features: Tensor, labels: Tensor | None = None, small: Tensor | None = None) -> Tensor:
        features = functional.interpolate(features, scale_factor=2.0)  # (N, J, h, w) -> (N, J, 2h, 2w)
        for conv, noise, gate in zip(self.convs, self.noises, self.gates, strict=True):
            features = gate(noise(conv(features)), labels)  # -> (N, 2K, 2h, 2w) -> (N, K, 2h, 2w)
        return features if self.skip is None else self.skip(small, features)


class FastGenerator(nn.Module):
    """A stem, blocks that double the map, a convolution: (N, Z) -> (N, 16w, 4, 4) -> … -> (N, C, H, W)."""

    def __init__(
        self, image_size: int, channels: int, width: int, latent_dim: int, num_classes: int = 0
    ) -> None:
        super().__init__()
        sides = sides_of(image_size)
        self.latent_dim, self.num_classes = latent_dim, num_classes
        self.image_shape = (channels, image_size, image_size)
        pairs = SKIPS if image_size <= 64 else PUBLISHED_SKIPS
        self.skips = {side: pairs.get(side, 0) for side in sides}
        self.blocks = nn.ModuleList([Stem(latent_dim, channels_at(GRID, width), num_classes)])
        for side in sides:
            inputs, outputs = channels_at(side // 2, width), channels_at(side, width)
            small = channels_at(self.skips[side], width) if self.skips[side] else 0
            self.blocks.append(UpBlock(inputs, outputs, side in DEEP, small, num_classes))
        last = nn.Conv2d(channels_at(image_size, width), channels, 3, padding=1)
        self.blocks.append(nn.Sequential(last, nn.Tanh()))
        self.apply(init_weights)

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        labels = need(self, labels)
        stem, *ups, last = self.blocks
        features = stem(noise, labels)  # (N, Z) -> (N, 16w, 4, 4)
        maps = {GRID: features}
        for up, (side, small) in zip(ups, self.skips.items(), strict=True):
            features = maps[side] = up(features, labels, maps.get(small))  # (N, K, side, side)
        images: Tensor = last(features)  # (N, K, H, W) -> (N, C, H, W)
        return images


def init_weights(module: nn.Module) -> None:
    """Initialise weights from N(0, 0.02²), biases with 0, and the scales of norms from N(1, 0.02²)."""
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.normal_(module.weight, 0.0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
    elif isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1.0, 0.02)


def generator(
    *, image_size: int = 64, channels: int = 3, width: int = 16, latent_dim: int = 128, num_classes: int = 0
) -> FastGenerator:
    """FastGAN generator (Liu et al. 2021). Paper: https://arxiv.org/abs/2101.04775, section 3.1.

    `image_size`: height and width of the images in pixels; a power of two from 32 to 1024.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels at 128×128; smaller maps have up to 16 times as many. The paper's is 64.
    `latent_dim`: size of the latent vector. The paper's is 256.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    """
    check_sizes("fast", channels=channels, width=width, latent_dim=latent_dim)
    return FastGenerator(image_size, channels, width, latent_dim, check_classes("fast", num_classes))
