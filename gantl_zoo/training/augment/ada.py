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
from torch.nn import functional

from gantl_zoo.training.adaptive import AdaptiveProbability, chosen
from gantl_zoo.training.augment.base import Augment
from gantl_zoo.training.augment.sampling import MIRRORED, sample

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
            return recolour(warp(images, self.p), self.p)


@functools.cache  # to make a new tensor of numbers, the host would wait for a GPU
@torch.inference_mode(False)
def sides(height: int, width: int, device: torch.device) -> Tensor:
    """The sides of an image (2,), across and down."""
    return torch.tensor([width, height], dtype=torch.float32, device=device)


def warp(images: Tensor, p: Tensor) -> Tensor:
    """Flip, rotate, shift, scale and stretch images at random, with mirrored borders."""
    count, _, height, width = images.shape
    device = images.device

    def chance(share: Tensor | float = p) -> Tensor:
        return (torch.rand(count, device=device) < share).float()

    size = sides(height, width, device)
    back = torch.eye(3, device=device).expand(count, 3, 3)  # maps output coordinates to input coordinates
    back = back @ scaling(1 - 2 * chance() * chance(0.5), torch.ones(count, device=device))
    back = back @ rotation(chance() * torch.randint(4, (count,), device=device) * (math.pi / 2))
    whole = ((torch.rand(count, 2, device=device) * 2 - 1) * SHIFT * size).round()
    back = back @ translation(chance()[:, None] * whole)
    zoom = torch.exp(chance() * torch.randn(count, device=device) * SCALE)
    back = back @ scaling(zoom, zoom)
    either = 1 - (1 - p).sqrt()  # so that at least one of two rotations is applied with probability p
    back = back @ rotation(chance(either) * (torch.rand(count, device=device) * 2 - 1) * math.pi)
    stretch = torch.exp(chance() * torch.randn(count, device=device) * SCALE)
    back = back @ scaling(stretch, 1 / stretch)
    back = back @ rotation(chance(either) * (torch.rand(count, device=device) * 2 - 1) * math.pi)
    back = back @ translation(chance()[:, None] * torch.randn(count, 2, device=device) * SHIFT * size)
    return resample(images, back)


def scaling(across: Tensor, down: Tensor) -> Tensor:
    """Scaling matrices (N, 3, 3) from factors (N,) across and down."""
    return torch.diag_embed(torch.stack([across, down, torch.ones_like(down)], dim=1))


def rotation(angle: Tensor) -> Tensor:
    """Rotation matrices (N, 3, 3) from angles (N,)."""
    cos, sin, zero, one = angle.cos(), angle.sin(), torch.zeros_like(angle), torch.ones_like(angle)
    return torch.stack([cos, -sin, zero, sin, cos, zero, zero, zero, one], dim=1).view(-1, 3, 3)


def translation(shift: Tensor) -> Tensor:
    """Translation matrices (N, 3, 3) from shifts (N, 2), across and down."""
    matrix = torch.eye(3, device=shift.device).repeat(len(shift), 1, 1)
    matrix[:, :2, 2] = shift
    return matrix


def resample(images: Tensor, back: Tensor) -> Tensor:
    """Resample images bilinearly, with mirrored borders; `back` (N, 3, 3) maps output coordinates to input
    coordinates.
    """
    height, width = images.shape[-2:]
    places, half = lattice(height, width, images.device)
    grid = places @ back[:, :2].mT / half  # (N, HW, 2), from -1 to 1 between the outer pixels' centres
    return sample(images, grid.view(-1, height, width, 2), MIRRORED)


@functools.cache
@torch.inference_mode(False)  # otherwise the first caller's mode would apply to all later ones
def lattice(height: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Homogeneous coordinates of all pixels (HW, 3), and half of the distance of the outer ones (2,)."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    half = torch.tensor([(width - 1) / 2, (height - 1) / 2], device=device)
    places = torch.stack([x, y], dim=-1).flatten(0, 1) - half  # (HW, 2)
    return functional.pad(places, (0, 1), value=1.0), half.clamp(min=0.5)


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

    def chance() -> Tensor:
        return (torch.rand(count, 1, 1, device=images.device) < p).float()

    def normal(deviation: float) -> Tensor:
        return chance() * torch.randn(count, 1, 1, device=images.device) * deviation

    matrix = torch.eye(channels, device=images.device).expand(count, channels, channels)
    bright = normal(BRIGHTNESS)
    matrix = matrix * torch.exp(normal(CONTRAST))
    if channels == 3:
        grey, colours, turn = colour_axes(images.device)
        flip = chance() * (torch.rand(count, 1, 1, device=images.device) < 0.5)
        matrix = (torch.eye(3, device=images.device) - 2 * grey * flip) @ matrix
        angle = chance() * (torch.rand(count, 1, 1, device=images.device) * 2 - 1) * math.pi
        # Rodrigues: rotation by an angle around the grey axis
        matrix = (grey + colours * angle.cos() + turn * angle.sin()) @ matrix
        matrix = (grey + colours * torch.exp(normal(SATURATION))) @ matrix
    shift = matrix.sum(2, keepdim=True) * bright  # (N, C, 1): the matrix times equal channels
    scaled = torch.baddbmm(shift, matrix, images.flatten(2))  # (N, C, HW)
    return scaled.view(images.shape)
