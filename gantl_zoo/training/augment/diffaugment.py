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
from gantl_zoo.training.augment.sampling import ZEROS, How, sample


def colour(images: Tensor) -> Tensor:
    """Shift brightness by ±0.5; scale saturation by 0 to 2, contrast by 0.5 to 1.5; random per image."""
    bright, saturate, contrast = torch.rand(3, len(images), 1, 1, 1, device=images.device)
    contrast = contrast + 0.5
    scale = contrast * saturate * 2
    grey = images.mean(dim=1, keepdim=True)  # (N, 1, H, W)
    mean = grey.mean(dim=(2, 3), keepdim=True)  # (N, 1, 1, 1)
    # the three are one weighted sum of the image, its grey image and its mean
    rest = torch.addcmul((1 - contrast) * mean + bright - 0.5, grey, contrast - scale)  # (N, 1, H, W)
    return torch.addcmul(rest, images, scale)


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
    rows, columns = (
        (2 * (start + torch.arange(side, device=images.device)) + 1) / side
        - 1  # (N, side), centres of pixels
        for start, side in ((top, height), (left, width))
    )
    places = columns[:, None, :].expand(-1, height, -1), rows[:, :, None].expand(-1, -1, width)
    return sample(images, torch.stack(places, dim=-1), border)  # (N, H, W, 2) -> (N, C, H, W)


def cutout(images: Tensor, ratio: float = 0.5) -> Tensor:
    """Set a rectangle of `ratio` times the sides, at a random position, to zero."""
    rows, columns = (_interval(len(images), side, ratio, images.device) for side in images.shape[-2:])
    return images * ~(rows[:, None, :, None] & columns[:, None, None, :])  # (N, 1, H, W)


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
        images = images.contiguous()  # three channels that are last make all of this slower
        for transform in self.transforms:
            images = transform(images)
        return images
