"""Differentiable augmentation of the discriminator's inputs.

DiffAugment (Zhao et al. 2020, https://arxiv.org/abs/2006.10738, section 3): brightness, saturation and
contrast; translation by up to an eighth of the side; a cut-out of half the side. Real and fake images are
augmented in both phases, so augmentations don't leak into the generator's samples. Written from the paper.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from gantl_zoo.errors import UnknownNameError, unknown
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.channels import mix
from gantl_zoo.training.augment.sampling import ZEROS, How, places, sample


def colour(images: Tensor) -> Tensor:
    """Shift brightness by ±0.5; scale saturation by 0 to 2, contrast by 0.5 to 1.5; random per image."""
    channels = images.shape[1]
    bright, saturate, contrast = torch.rand(3, len(images), 1, 1, device=images.device)
    contrast = contrast + 0.5
    scale = contrast * saturate * 2
    mean = images.mean(dim=(1, 2, 3))[:, None, None]  # (N, 1, 1)
    # the three are one weighted sum of the image, its grey image and its mean
    one = torch.eye(channels, device=images.device)
    grey = torch.full_like(one, 1 / channels)
    return mix(images, scale * one + (contrast - scale) * grey, (1 - contrast) * mean + bright - 0.5)


def translate(images: Tensor, ratio: float = 0.125) -> Tensor:
    """Shift images at random by at most `ratio` of the side, padding with zeros (mid grey)."""
    height, width = (max(1, round(side * ratio)) for side in images.shape[-2:])
    return shift(images, height, width, ZEROS)


def shift(images: Tensor, down: int, across: int, border: How) -> Tensor:
    """Shift each image at random by at most `down` and `across` pixels; the border is `ZEROS` or
    `REPLICATED`.
    """
    count, _, height, width = images.shape
    top = torch.randint(2 * down + 1, (count, 1), device=images.device) - down
    left = torch.randint(2 * across + 1, (count, 1), device=images.device) - across
    back = None
    if border == ZEROS and images.requires_grad:  # nothing is read twice, so the transpose shifts back
        back = shifted(-top, -left, height, width)
    return sample(images, shifted(top, left, height, width), border, back)


def shifted(top: Tensor, left: Tensor, height: int, width: int) -> Tensor:
    """The places (N, H, W, 2) of all pixels, `top` (N, 1) pixels lower and `left` (N, 1) further right."""
    rows, columns = (
        (2 * (start + torch.arange(side, device=start.device)) + 1) / side - 1  # (N, side), centres of pixels
        for start, side in ((top, height), (left, width))
    )
    across = torch.stack([columns, torch.zeros_like(columns)], dim=1)  # (N, 2, W), x and y
    down = torch.stack([torch.zeros_like(rows), rows], dim=1)  # (N, 2, H)
    return places(across, down)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Set a rectangle of `ratio` times the sides, at a random position, to zero."""
    rows, columns = (
        _interval(len(images), side, ratio, images.device).to(images.dtype) for side in images.shape[-2:]
    )
    return images * (1 - rows[:, None, :, None] * columns[:, None, None, :])  # (N, 1, H, W)


def _interval(count: int, side: int, ratio: float, device: torch.device) -> Tensor:
    """A mask (N, side) that is true in a random interval of `ratio` times the side."""
    length = round(side * ratio)
    start = torch.randint(-(length // 2), side - length // 2 + 1, (count, 1), device=device)
    place = torch.arange(side, device=device)
    return (place >= start) & (place < start + length)


TRANSFORMS: dict[str, Callable[[Tensor], Tensor]] = {
    "colour": colour,
    "translation": translate,
    "cutout": cutout,
}


class DiffAugment(Augment):
    """Random colours, shifts and cut-outs of each image.

    `policy`: the transforms, separated by commas: colour, translation and cutout. They are applied in this
    order.
    """

    def __init__(self, *, policy: str = "colour,translation,cutout") -> None:
        super().__init__()
        names = [name.strip() for name in policy.split(",")]
        for name in names:
            if name not in TRANSFORMS:
                raise UnknownNameError(f"diffaugment: {unknown('transform', name, TRANSFORMS)}")
        self.transforms = [transform for name, transform in TRANSFORMS.items() if name in names]

    def forward(self, images: Tensor) -> Tensor:
        for transform in self.transforms:
            images = transform(images)
        return images
