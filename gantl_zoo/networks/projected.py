"""The discriminator of Projected GAN: four heads on frozen, randomly mixed features of a pretrained backbone.

Sauer et al. 2021, https://arxiv.org/abs/2111.01007, section 3 and figure 2. With `width=64` the layers have
the published numbers of channels.

N batch, C channels, H, W image size, K channels of a feature map h × w, L logits of an image.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import check_sizes
from gantl_zoo.networks.feature_discriminator import backbone_arguments, starting_body
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.pretrained import as_arguments

LEVELS = 4  # the coarsest feature maps of the backbone are used, one head each
SMALLEST = 8  # a head halves its map while its side is at least this


class Mixing(nn.Module):
    """Frozen random mixing: of channels (CCM, 1×1), then of scales from coarse to fine (CSM), section 3.2.

    Each map is added to the mixed coarser one, doubled in size, and convolved to the channels of the next
    finer one. So every channel of the result depends on many features.
    """

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        mixed = [width * 2**level for level in range(len(channels))]
        self.widths = [width, *mixed[:-1]]  # of the results, fine to coarse
        self.across_channels = nn.ModuleList(nn.Conv2d(k, m, 1) for k, m in zip(channels, mixed, strict=True))
        self.across_scales = nn.ModuleList(
            nn.Conv2d(m, w, 1) for m, w in zip(mixed, self.widths, strict=True)
        )
        self.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        """Mix maps (N, K, h, w), fine to coarse, to maps (N, K', 2h, 2w)."""
        mixed: list[Tensor] = []
        for level in reversed(range(len(maps))):
            features = self.across_channels[level](maps[level])  # (N, K, h, w) -> (N, K', h, w)
            if mixed:
                features = features + resized(mixed[0], features.shape[-2:])
            height, width = features.shape[-2:]
            features = self.across_scales[level](resized(features, (2 * height, 2 * width)))
            mixed.insert(0, features)
        return mixed


def resized(features: Tensor, size: Sequence[int]) -> Tensor:
    """The map in another size (bilinear), or as it is if it has that size."""
    if tuple(features.shape[-2:]) == tuple(size):
        return features
    return functional.interpolate(features, size=tuple(size), mode="bilinear", align_corners=True)


def head(channels: int, side: int, width: int) -> nn.Sequential:
    """A head from a map (N, channels, side, side) to logits (N, 1, s, s), s = 4 if the side is 7·2ⁿ.

    Convolutions halve the map while its side is at least 8. The last of them has 8·width channels, each one
    before it half as many, but not fewer than `width`.
    """
    halvings = 0
    while side >> halvings >= SMALLEST:
        halvings += 1
    layers: list[nn.Module] = []
    for left in reversed(range(halvings)):
        wider = max(1, 8 >> left) * width
        conv = spectral_norm(nn.Conv2d(channels, wider, 4, stride=2, padding=1, bias=False))
        layers += [conv, nn.BatchNorm2d(wider), nn.LeakyReLU(0.2)]
        channels = wider
    last = min(4, side >> halvings)
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels, 1, last, bias=False)))


class ProjectedDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to logits (N, L), those of all places of all heads.

    Only the heads are trained. `reference` is the name of the release whose weights the backbone has: then
    neither a model's file nor a checkpoint holds them, and a model folder names them by their hash.
    """

    num_classes = 0
    random_features = False  # True if built on a backbone with random weights; loading keeps it

    def __init__(
        self, backbone: Any, image_shape: tuple[int, int, int], sees: int, width: int, reference: str = ""
    ) -> None:
        super().__init__()
        self.image_shape, self.sees, self.reference = image_shape, sees, reference
        self.backbone = backbone.eval().requires_grad_(False)
        self.features = FrozenPyramid(backbone)
        with torch.no_grad():
            maps = backbone.pyramid(torch.zeros(1, sees, *image_shape[1:]))[-LEVELS:]
            self.mixing = Mixing([features.shape[1] for features in maps], width)
            sides = [2 * min(features.shape[-2:]) for features in maps]
        self.heads = nn.ModuleList(
            head(k, side, width) for k, side in zip(self.mixing.widths, sides, strict=True)
        )
        if reference:
            self.register_state_dict_post_hook(without_backbone)

    @property
    def blocks(self) -> list[nn.Module]:
        """Trainable modules: the heads."""
        return [self.heads]

    def train(self, mode: bool = True) -> ProjectedDiscriminator:
        super().train(mode)
        self.backbone.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        images = images.expand(-1, self.sees, -1, -1)  # (N, C, H, W) -> (N, sees, H, W)
        maps = self.mixing(self.features(images)[-len(self.heads) :])  # fine to coarse, (N, K, h, w) each
        logits = [head(features).flatten(1) for head, features in zip(self.heads, maps, strict=True)]
        return torch.cat(logits, dim=1)  # levels × (N, places) -> (N, L)
