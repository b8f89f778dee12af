"""Blocks that `grown` adds to a network, and the resampling of images.

N batch, C channels of the images, K, W channels of feature maps h × h.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils import parametrizations

SLOPE = 0.2  # of the leaky ReLU


def resampled(maps: Tensor, side: int) -> Tensor:
    """Maps (N, K, h, h) resampled to (N, K, side, side).

    Larger maps are interpolated (bilinear). Smaller ones are averages over squares if `side` divides h, else
    interpolated with antialiasing. No value leaves the range of the given ones.
    """
    old = maps.shape[-1]
    if old == side:
        return maps
    if old % side == 0:
        return functional.avg_pool2d(maps, old // side)
    if old < side:
        return functional.interpolate(maps, size=(side, side), mode="bilinear")
    # the antialiasing filter takes no half precision
    exact = maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    smaller = functional.interpolate(exact, size=(side, side), mode="bilinear", antialias=True)
    return smaller.to(maps.dtype)


def normalized(maps: Tensor) -> Tensor:
    """Maps (N, K, h, w) with a root mean square of 1 over the channels of each pixel.

    Pixelwise normalization of Karras et al. 2018 (https://arxiv.org/abs/1710.10196), section 4.2. Features of
    a trained network may have any scale, and this norm needs no statistics.
    """
    exact = (
        maps.float() if maps.dtype in (torch.float16, torch.bfloat16) else maps
    )  # squares overflow in half
    return (exact * torch.rsqrt(exact.square().mean(1, keepdim=True) + 1e-8)).to(maps.dtype)


class UpBlock(nn.Module):
    """Features (N, K, h, h) and an image (N, C, p, p) -> features (N, W, map_side, map_side).

    `details` computes from them what the block adds to the enlarged image: zeros at first. With `inputs=0`
    the image is the only input.
    """

    def __init__(self, inputs: int, width: int, channels: int, map_side: int, side: int) -> None:
        super().__init__()
        self.map_side, self.side = map_side, side
        self.conv1 = init_weights(nn.Conv2d(inputs, width, 3, padding=1)) if inputs else None
        self.from_image = init_weights(nn.Conv2d(channels, width, 3, padding=1))
        self.conv2 = init_weights(nn.Conv2d(width, width, 3, padding=1))
        self.last = zero_weights(nn.Conv2d(width, channels, 3, padding=1))

    def forward(self, features: Tensor | None, image: Tensor) -> Tensor:
        new = self.from_image(resampled(image, self.map_side))  # (N, C, p, p) -> (N, W, map_side, map_side)
        if features is not None and self.conv1 is not None:
            features = normalized(resampled(features, self.map_side))  # -> (N, K, map_side, map_side)
            new = new + self.conv1(features)
        new = self.conv2(functional.leaky_relu_(new, SLOPE))
        if features is not None and features.shape == new.shape:
            new = new + features
        return normalized(functional.leaky_relu_(new, SLOPE))

    def details(self, features: Tensor) -> Tensor:
        """The details (N, C, side, side) of features (N, W, map_side, map_side)."""
        result: Tensor = self.last(resampled(features, self.side))
        return result


def enlarged(image: Tensor, side: int, details: Tensor) -> Tensor:
    """An image (N, C, p, p) resampled to (N, C, side, side), and details.

    The result is in [-1, 1], except where the resampled image is not.
    """
    image = resampled(image, side)
    result, limit = image + details, image.detach().abs().clamp_min(1)
    # not torch.clamp, which halves the gradient of values at the limit
    return torch.where(result.abs() > limit, torch.copysign(limit, result.detach()), result)


class DownBlock(nn.Module):
    """Images (N, C, side, side), features of a larger block -> features (N, K, target, target), first zero.

    `spectral` adds spectral norm to all convolutions but the last one, which starts at zero.
    """

    def __init__(
        self, channels: int, width: int, outputs: int, side: int, target: int, spectral: bool
    ) -> None:
        super().__init__()
        self.side, self.target = side, target
        self.from_image = normed(nn.Conv2d(channels, width, 3, stride=2, padding=1), spectral)
        self.conv1 = normed(nn.Conv2d(width, width, 3, padding=1), spectral)
        self.conv2 = normed(nn.Conv2d(width, width, 3, padding=1), spectral)
        self.last = zero_weights(nn.Conv2d(width, outputs, 3, padding=1))

    def forward(self, images: Tensor, features: Tensor | None = None) -> Tensor:
        new = self.from_image(resampled(images, self.side))  # (N, C, side, side) -> (N, W, side/2, side/2)
        if features is not None:
            new = new + features
        new = functional.leaky_relu_(new, SLOPE)
        change = self.conv2(functional.leaky_relu_(self.conv1(new), SLOPE))
        new = functional.leaky_relu_(new + change, SLOPE)
        result: Tensor = self.last(resampled(new, self.target))  # -> (N, K, target, target)
        return result


def half(side: int) -> int:
    """The side of the map of a `DownBlock` for images of that side."""
    return (side + 1) // 2


def untrained(block: nn.Module) -> bool:
    """Whether an added block still changes nothing, because its last convolution is zero."""
    return not any(bool(p.any()) for p in block.last.parameters())  # type: ignore[union-attr]


def init_weights(conv: nn.Conv2d) -> nn.Conv2d:
    """He initialisation for leaky ReLUs, and zero biases."""
    nn.init.kaiming_normal_(conv.weight, SLOPE)
    assert conv.bias is not None
    nn.init.zeros_(conv.bias)
    return conv


def zero_weights(conv: nn.Conv2d) -> nn.Conv2d:
    """Set weights and biases to zero."""
    for parameter in conv.parameters():
        nn.init.zeros_(parameter)
    return conv


def normed(conv: nn.Conv2d, spectral: bool) -> nn.Module:
    """Initialise a convolution, then add spectral norm (which measures the weights) if `spectral`."""
    init_weights(conv)
    return parametrizations.spectral_norm(conv) if spectral else conv
