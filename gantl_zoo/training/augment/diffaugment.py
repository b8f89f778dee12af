"""Differentiable augmentation of the discriminator's input. Real and fake images are augmented in every
phase, so nothing leaks into the generator.

DiffAugment (Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3): brightness, saturation,
contrast; translation by up to an eighth; a cut-out of half the side. Written from the paper.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.training.augment.base import Augment


def colour(images: Tensor) -> Tensor:
    """Brightness ± 0.5, saturation 0 to 2, contrast 0.5 to 1.5, one draw an image."""
    bright, saturate, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    images = images + (bright - 0.5)
    grey = images.mean(dim=1, keepdim=True)
    images = grey + (images - grey) * (2 * saturate)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    contrasted: Tensor = mean + (images - mean) * (contrast + 0.5)
    return contrasted


def translate(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift by at most `ratio` of the side; zeros (mid grey) come in."""
    height, width = (max(1, round(side * ratio)) for side in images.shape[-2:])
    return shift(images, height, width, "constant")


def shift(images: Tensor, down: int, across: int, border: str) -> Tensor:
    """Shift each image by whole pixels, up to `down` and `across` either way; `border` pads."""
    count, _, height, width = images.shape
    padded = functional.pad(images, (across, across, down, down), mode=border)
    top = torch.randint(2 * down + 1, (count, 1), device=images.device)
    left = torch.randint(2 * across + 1, (count, 1), device=images.device)
    rows = top + torch.arange(height, device=images.device)  # (N, H)
    columns = left + torch.arange(width, device=images.device)  # (N, W)
    index = torch.arange(count, device=images.device)[:, None, None]
    # indexing puts the channels last: (N, C, H+, W+) -> (N, H, W, C) -> (N, C, H, W)
    return padded.permute(0, 2, 3, 1)[index, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Zero a rectangle of `ratio` of the sides, whose centre is anywhere."""
    rows, columns = (_stretch(len(images), side, ratio, images.device) for side in images.shape[-2:])
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])  # (N, 1, H, W)


def _stretch(count: int, side: int, ratio: float, device: torch.device) -> Tensor:
    """Which places of a side lie in a random stretch of it: (N, side) booleans."""
    length = round(side * ratio)
    start = torch.randint(-(length // 2), side - length // 2 + 1, (count, 1), device=device)
    place = torch.arange(side, device=device)
    return (place >= start) & (place < start + length)


class DiffAugment(Augment):
    """All three, in the paper's order."""

    def forward(self, images: Tensor) -> Tensor:
        return cutout(translate(colour(images)))
