"""Adaptive discriminator augmentation (Karras et al. 2020, https://arxiv.org/abs/2006.06676).

Section 2 and appendix B: pixel blitting, geometric and colour transforms, each with probability p. Section
3.1: p grows while the discriminator overfits, r = E[sign D(real)] > 0.6, and shrinks otherwise. Written from
the paper. Unlike there, images are resampled bilinearly, without a wavelet filter.

N batch, C channels, H, W image size. Coordinates are in pixels, relative to the image's centre.
"""

from __future__ import annotations

import functools
import math

import torch
from torch import Tensor

from gantl_zoo.training.adaptive import AdaptiveProbability, chosen
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.channels import mix
from gantl_zoo.training.augment.sampling import MIRRORED, places, sample

SCALE, SHIFT = 0.2 * math.log(2), 0.125  # standard deviations, appendix B
BRIGHTNESS, CONTRAST, SATURATION = 0.2, 0.5 * math.log(2), math.log(2)


class AdaptiveAugment(AdaptiveProbability, Augment):
    """Geometric and colour transforms, each with a probability that grows while the discriminator overfits.

    `p`: fixed probability. By default it is 0 at the start, and adapts.
    `target`: value of E[sign D(real)] above which the probability grows; by default 0.6.
    """

    def __init__(self, *, p: float | None = None, target: float | None = None) -> None:
        super().__init__(*chosen("ada", p, target))

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, enabled=False):  # coordinates need all of their digits
            # The paper's order is the other one. The two commute, and this one spares a copy of the images.
            return warp(recolour(images, self.p), self.p)


@functools.cache  # to make a new tensor of numbers, the host would wait for a GPU
@torch.inference_mode(False)  # otherwise the first caller's mode would apply to all later ones
def lattice(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """Coordinates of the columns (W,) and rows (H,), and the sides (2,), across and down; all in pixels."""
    x = torch.arange(width, device=device) - (width - 1) / 2
    y = torch.arange(height, device=device) - (height - 1) / 2
    return x, y, torch.tensor([width, height], dtype=torch.float32, device=device)


def warp(images: Tensor, p: Tensor) -> Tensor:
    """Flip, rotate, shift, scale and stretch images at random, with mirrored borders."""
    count, _, height, width = images.shape
    device = images.device
    sides = lattice(height, width, device)[2]
    applied = (torch.rand(6, count, device=device) < p).float()
    either = 1 - (1 - p).sqrt()  # so that at least one of two rotations is applied with probability p
    turned = (torch.rand(2, count, device=device) < either).float()
    uniform = torch.rand(6, count, device=device)
    normal = torch.randn(4, count, device=device)

    flip = 1 - 2 * applied[0] * (uniform[0] < 0.5)
    quarter = applied[1] * (uniform[1] * 4).floor() * (math.pi / 2)
    whole = (applied[2] * (uniform[2:4] * 2 - 1) * SHIFT * sides[:, None]).round().mT  # (N, 2)
    zoom, stretch = torch.exp(applied[3:5] * normal[:2] * SCALE)
    shift = (applied[5] * normal[2:] * SHIFT * sides[:, None]).mT
    turns = rotation(torch.cat([quarter[None], turned * (uniform[4:] * 2 - 1) * math.pi]))
    return resample(images, *combined(flip, turns, whole, zoom, stretch, shift))


def combined(
    flip: Tensor, turns: Tensor, whole: Tensor, zoom: Tensor, stretch: Tensor, shift: Tensor
) -> tuple[Tensor, Tensor]:
    """The map from output coordinates to input coordinates: a matrix (N, 2, 2) and an offset (N, 2).

    It shifts, rotates, stretches, rotates, zooms, shifts by whole pixels, rotates by quarters, and flips,
    from right to left as matrices. Shifts are (N, 2), `turns` three rotations (3, N, 2, 2), the rest (N,).
    """
    quarter, first, second = turns
    outer = torch.stack([flip, torch.ones_like(flip)], dim=1)[:, :, None] * quarter
    inner = first * torch.stack([zoom * stretch, zoom / stretch], dim=1)[:, None] @ second
    offset = outer @ (whole[..., None] + inner @ shift[..., None])
    return outer @ inner, offset[..., 0]


def rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (…, 2, 2) from angles (…)."""
    cos, sin = angle.cos(), angle.sin()
    return torch.stack([cos, -sin, sin, cos], dim=-1).view(*angle.shape, 2, 2)


def resample(images: Tensor, matrix: Tensor, offset: Tensor) -> Tensor:
    """Resample images bilinearly, with mirrored borders.

    `matrix` (N, 2, 2) and `offset` (N, 2) map output coordinates to input coordinates.
    """
    x, y, sides = lattice(*images.shape[-2:], images.device)
    half = ((sides - 1) / 2).clamp(min=0.5)[:, None]  # places are -1 and 1 in the outer pixels' centres
    matrix, offset = matrix / half, offset[..., None] / half
    return sample(images, places(matrix[..., :1] * x, matrix[..., 1:] * y + offset), MIRRORED)


@functools.cache
@torch.inference_mode(False)
def colour_axes(device: torch.device) -> tuple[Tensor, Tensor, Tensor]:
    """RGB matrices (3, 3): projection onto the grey axis, its complement, and cross product with the axis."""
    luma = torch.ones(3, device=device) / math.sqrt(3)
    grey = torch.outer(luma, luma)
    x = float(luma[0])
    turn = torch.tensor([[0.0, -x, x], [x, 0.0, -x], [-x, x, 0.0]], device=device)
    return grey, torch.eye(3, device=device) - grey, turn


def recolour(images: Tensor, p: Tensor) -> Tensor:
    """Change brightness and contrast at random; for RGB also invert luma and change hue and saturation."""
    count, channels = images.shape[:2]
    device = images.device
    applied = (torch.rand(5, count, 1, 1, device=device) < p).float()
    bright, contrast, saturate = applied[:3] * torch.randn(3, count, 1, 1, device=device)
    bright, contrast = bright * BRIGHTNESS, torch.exp(contrast * CONTRAST)
    if channels != 3:
        return torch.addcmul((contrast * bright)[..., None], images, contrast[..., None]).to(images.dtype)
    flip, angle = applied[3:] * torch.rand(2, count, 1, 1, device=device)
    luma, chroma = contrast * (1 - 2 * (flip > 0.5).float()), contrast * torch.exp(saturate * SATURATION)
    return recoloured(images, luma, luma * bright, chroma, angle * 2 * math.pi)


def recoloured(images: Tensor, luma: Tensor, shift: Tensor, chroma: Tensor, angle: Tensor) -> Tensor:
    """Scale RGB images (N, 3, H, W) by `luma` along the grey axis and by `chroma` across it, rotate them by
    `angle` around the axis (Rodrigues), and add `shift`.

    These changes commute, so one matrix does them all. The arguments are (N, 1, 1).
    """
    grey, across, turn = colour_axes(images.device)
    matrix = grey * luma + chroma * (across * angle.cos() + turn * angle.sin())  # (N, 3, 3)
    return mix(images, matrix, shift)
