"""A discriminator that stands on a pre-trained backbone: its feature pyramid, a small head on each map.

Where a pre-trained CNN meets the GAN. The idea is that of Projected GAN (Sauer et al. 2021,
https://arxiv.org/abs/2111.01007, section 3.2), with its random mixing or without: one small head a scale,
whose logits are averaged.

N batch, C channels, H, W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import check_sizes
from gantl_zoo.networks.pretrained import as_arguments, start


def head(features: int, width: int) -> nn.Sequential:
    """A feature map (N, K, h, w) to a map of logits (N, 1, h, w)."""
    return nn.Sequential(
        nn.Conv2d(features, width, 3, padding=1),
        nn.LeakyReLU(0.2),
        nn.Conv2d(width, 1, 3, padding=1),
    )


class Mixing(nn.Module):
    """Random mixing of channels (1×1), then of scales from coarse to fine (3×3): section 3.2. Never learns.

    A discriminator would soon look at a few channels only; mixed, each of them holds something of all.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        self.across_channels = nn.ModuleList(nn.Conv2d(k, k, 1, bias=False) for k in channels)
        self.across_scales = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in pairwise(channels)
        )
        for parameter in self.parameters():
            nn.init.kaiming_normal_(parameter, nonlinearity="linear").requires_grad_(False)

    def forward(self, maps: Sequence[Tensor]) -> list[Tensor]:
        mixed = [mix(features) for mix, features in zip(self.across_channels, maps, strict=True)]
        for i in reversed(range(len(mixed) - 1)):  # (N, K', h', w') -> (N, K, h, w)
            coarse = functional.interpolate(mixed[i + 1], size=mixed[i].shape[-2:], mode="bilinear")
            mixed[i] = mixed[i] + self.across_scales[i](coarse)
        return mixed


class BackboneDiscriminator(nn.Module):
    """Images (N, C, H, W) in [-1, 1] to logits (N,).

    With `freeze` only the heads learn, and the backbone stays in eval mode for good. It gets `sees` channels:
    those of the images, or grey ones repeated.
    """

    num_classes = 0
    untaught = False  # whether it was built on frozen random features, whatever is loaded into it later

    def __init__(
        self, backbone: Any, image_shape: tuple[int, int, int], sees: int, width: int, freeze: bool, mix: bool
    ) -> None:
        super().__init__()
        self.backbone, self.freeze, self.image_shape, self.sees = backbone, freeze, image_shape, sees
        backbone.eval()
        with torch.set_grad_enabled(not freeze):
            maps = backbone.pyramid(torch.zeros(1, sees, *image_shape[1:]))
            self.reached = [] if freeze else reached(backbone, maps)
        self.mixing = Mixing([features.shape[1] for features in maps]) if mix else nn.Identity()
        self.heads = nn.ModuleList(head(features.shape[1], width) for features in maps)
        if freeze:
            backbone.requires_grad_(False)

    @property
    def blocks(self) -> list[nn.Module]:
        """What may learn, from the image to the logits: the body's blocks if not frozen, the heads."""
        return [*(self.backbone.blocks[i] for i in self.reached), self.heads]

    def train(self, mode: bool = True) -> BackboneDiscriminator:
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        images = images.expand(-1, self.sees, -1, -1)  # (N, C or 1, H, W) -> (N, C, H, W)
        maps = self.mixing(self.backbone.pyramid(images))  # (N, C, H, W) -> [(N, K, h, w), ...]
        logits = [head(features).mean(dim=(1, 2, 3)) for head, features in zip(self.heads, maps, strict=True)]
        return torch.stack(logits).mean(dim=0)  # scales × (N,) -> (N,)


def reached(backbone: Any, maps: Sequence[Tensor]) -> list[int]:
    """Numbers of the backbone's blocks that its feature maps depend on: what stands behind the last of them,
    before the classifier, would never get a gradient. All, where gradients can't be had.
    """
    held = [list(block.parameters()) for block in backbone.blocks[:-1]]
    flat = [p for block in held for p in block]
    if not flat or not all(features.requires_grad for features in maps):
        return list(range(len(held)))
    slopes = torch.autograd.grad([features.sum() for features in maps], flat, allow_unused=True)
    used = {id(p) for p, slope in zip(flat, slopes, strict=True) if slope is not None}
    return [i for i, block in enumerate(held) if any(id(p) in used for p in block)]


@registry.starting_weights(weights=None, pretrained=False)
def discriminator(
    *,
    backbone: str = "cnn",
    weights: str | None = None,
    pretrained: bool = True,
    freeze: bool = True,
    mix: bool = False,
    image_size: int = 28,
    channels: int = 1,
    sees: int | None = None,
    width: int = 64,
    backbone_config: Mapping[str, Any] | None = None,
    **further: Any,
) -> BackboneDiscriminator:
    """Small heads on any registered backbone.

    `weights` names a released backbone (or its folder) to start from; without it, `pretrained` lets a
    `timm:` backbone start from timm's own weights. `mix` mixes its channels and scales at random, for good.
    `sees=3` repeats the channel of grey images for a backbone of colour images. The arguments of the
    backbone's builder are `backbone_config`, or further arguments if none has a name from here.
    """
    sees = channels if sees is None else sees
    check_sizes("backbone", width=width)
    if channels not in (1, sees):
        raise UsageError(f"a backbone of {sees} channels can't take images of {channels}")
    inner = joined(backbone_config, further, sees)
    config = registry.backbones.configure(backbone, **inner, channels=sees)
    fetching = registry.backbones.fetching(backbone, config)
    if "pretrained" in fetching and "pretrained" not in inner:
        config["pretrained"] = pretrained and weights is None
    if weights is None:
        body = registry.backbones.build(backbone, **config)
    else:
        body = start(backbone, config, weights)
    made: Any = BackboneDiscriminator(body, (channels, image_size, image_size), sees, width, freeze, mix)
    pretrained_weights = weights is not None or any(
        config.get(key, none) != none for key, none in fetching.items()
    )
    made.untaught = freeze and not pretrained_weights
    if hasattr(body, "config"):  # part of its arguments came with the weights
        size: dict[str, Any] = {"image_size": image_size, "channels": channels, "sees": sees, "width": width}
        own = size | {"backbone": backbone, "freeze": freeze, "mix": mix}
        made.config = own | as_arguments(body.config, nested=backbone_config is not None)
    return made  # type: ignore[no-any-return]


def joined(nested: Mapping[str, Any] | None, further: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """The arguments of the backbone's builder but its `channels`. Raises `UsageError` if they don't agree."""
    if nested is not None and further:
        raise UsageError(f"backbone: put {', '.join(sorted(further))} into backbone_config, too")
    inner = dict(nested or further)
    if (own := inner.pop("channels", channels)) != channels:
        raise UsageError(f"backbone: channels={own} in backbone_config, but sees={channels} beside it")
    return inner
