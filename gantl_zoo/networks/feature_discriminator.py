"""A discriminator on a pretrained backbone: one small head per feature map, whose logits are averaged.

The idea is that of Projected GAN (Sauer et al. 2021, https://arxiv.org/abs/2111.01007, section 3.2), with or
without its random mixing of features.

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
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.pretrained import as_arguments, load_backbone


def head(features: int, width: int) -> nn.Sequential:
    """A head from a feature map (N, K, h, w) to a map of logits (N, 1, h, w)."""
    return nn.Sequential(
        nn.Conv2d(features, width, 3, padding=1),
        nn.LeakyReLU(0.2, inplace=True),
        nn.Conv2d(width, 1, 3, padding=1),
    )


class Mixing(nn.Module):
    """Frozen random mixing of channels (1×1), then of scales from coarse to fine (3×3): section 3.2.

    Without it a discriminator soon relies on a few channels. Each mixed channel depends on all of them.
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
    """Maps images (N, C, H, W) in [-1, 1] to logits (N,).

    With `freeze` only the heads are trained, and the backbone always stays in eval mode. The backbone takes
    images of `sees` channels: those of the images, or the channel of grey images repeated.
    """

    num_classes = 0
    any_size = True  # fits images of another size itself
    random_features = False  # True if built on a frozen backbone with random weights; loading keeps it
    config: dict[str, Any]  # the arguments that build it, if they differ from those that were given

    def __init__(
        self, backbone: Any, image_shape: tuple[int, int, int], sees: int, width: int, freeze: bool, mix: bool
    ) -> None:
        super().__init__()
        self.backbone, self.freeze, self.image_shape, self.sees = backbone, freeze, image_shape, sees
        backbone.eval()
        with torch.set_grad_enabled(not freeze):
            maps = backbone.pyramid(torch.zeros(1, sees, *image_shape[1:]))
            self.trained_blocks = [] if freeze else reachable_blocks(backbone, maps)
        self.feature_maps = FrozenPyramid(backbone) if freeze else backbone.pyramid
        self.mixing = Mixing([features.shape[1] for features in maps]) if mix else nn.Identity()
        self.heads = nn.ModuleList(head(features.shape[1], width) for features in maps)
        if freeze:
            backbone.requires_grad_(False)

    @property
    def blocks(self) -> list[nn.Module]:
        """Trainable modules from the image to the logits: the backbone's blocks unless frozen, the heads."""
        return [*(self.backbone.blocks[i] for i in self.trained_blocks), self.heads]

    def train(self, mode: bool = True) -> BackboneDiscriminator:
        super().train(mode)
        if self.freeze:
            self.backbone.eval()
        return self

    def extract(self, images: Tensor) -> list[Tensor]:
        """The features of images (N, C, H, W): maps (N, K, h, w), fine to coarse. With `freeze` untrained."""
        maps: list[Tensor] = self.mixing(self.feature_maps(images.expand(-1, self.sees, -1, -1)))
        return maps

    def logits(self, features: Sequence[Tensor]) -> Tensor:
        """The logits (N,) of what `extract` returns."""
        logits = [head(one).mean(dim=(1, 2, 3)) for head, one in zip(self.heads, features, strict=True)]
        return torch.stack(logits).mean(dim=0)  # scales × (N,) -> (N,)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logits(self.extract(images))


def reachable_blocks(backbone: Any, maps: Sequence[Tensor]) -> list[int]:
    """Indices of the backbone's blocks that its feature maps depend on; all if the maps have no gradient.

    Blocks between the last feature map and the classifier would never get a gradient.
    """
    blocks = [list(block.parameters()) for block in backbone.blocks[:-1]]
    flat = [p for block in blocks for p in block]
    if not flat or not all(features.requires_grad for features in maps):
        return list(range(len(blocks)))
    gradients = torch.autograd.grad([features.sum() for features in maps], flat, allow_unused=True)
    used = {id(p) for p, gradient in zip(flat, gradients, strict=True) if gradient is not None}
    return [i for i, block in enumerate(blocks) if any(id(p) in used for p in block)]


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
    """Discriminator of small heads on a backbone (Projected GAN, Sauer et al. 2021).

    Paper: https://arxiv.org/abs/2111.01007, section 3.2.

    `backbone`: name of a backbone, such as cnn or timm:resnet18.
    `weights`: released classifier, or folder of a saved one, whose weights the backbone starts from.
    `pretrained`: whether a timm: backbone loads timm's pretrained weights, if `weights` is None.
    `freeze`: whether the backbone keeps its weights, so that only the heads are trained.
    `mix`: whether frozen random convolutions mix the channels and scales of the features.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `sees`: number of channels of the backbone's input; 3 repeats the channel of grey images, and None means
        the number of channels of the images.
    `width`: number of channels of the hidden layer of each head.
    `backbone_config`: arguments of the backbone. Those whose names don't occur here can also be passed
        directly.
    """
    check_sizes("backbone", width=width)
    sees = input_channels(channels, sees)
    inner = backbone_arguments(backbone_config, further, sees)
    body, random = starting_body(backbone, inner, sees, weights, pretrained)
    network = BackboneDiscriminator(body, (channels, image_size, image_size), sees, width, freeze, mix)
    network.random_features = freeze and random
    if hasattr(body, "config"):  # its weights bring some of its arguments
        network.config = config_of(network, backbone, width, nested=backbone_config is not None)
    return network


def config_of(network: BackboneDiscriminator, backbone: str, width: int, nested: bool) -> dict[str, Any]:
    """The arguments that build the network; with `nested` those of the backbone are in `backbone_config`."""
    channels, size, _ = network.image_shape
    own: dict[str, Any] = {"image_size": size, "channels": channels, "sees": network.sees, "width": width}
    own |= {"backbone": backbone, "freeze": network.freeze, "mix": isinstance(network.mixing, Mixing)}
    return own | as_arguments(network.backbone.config, nested=nested)


def input_channels(channels: int, sees: int | None) -> int:
    """The number of channels that a backbone takes. Raises `UsageError` if it can't take these images."""
    sees = channels if sees is None else sees
    if channels not in (1, sees):
        raise UsageError(f"backbone: a backbone of {sees} channels can't take images of {channels}")
    return sees


def starting_body(
    backbone: str, inner: Mapping[str, Any], channels: int, weights: str | None, pretrained: bool
) -> tuple[Any, bool]:
    """The backbone with the arguments `inner`, and whether its weights are random."""
    config = registry.backbones.configure(backbone, **inner, channels=channels)
    fetching = registry.backbones.fetching(backbone, config)
    if "pretrained" in fetching and "pretrained" not in inner:
        config["pretrained"] = pretrained and weights is None
    if weights is not None:
        return load_backbone(backbone, config, weights), False
    random = all(config.get(key, none) == none for key, none in fetching.items())
    return registry.backbones.build(backbone, **config), random


def backbone_arguments(
    nested: Mapping[str, Any] | None, further: Mapping[str, Any], channels: int
) -> dict[str, Any]:
    """The arguments of the backbone's builder except `channels`. Raises `UsageError` for a contradiction."""
    if nested is not None and further:
        raise UsageError(f"backbone: pass {', '.join(sorted(further))} in backbone_config")
    inner = dict(nested or further)
    if (own := inner.pop("channels", channels)) != channels:
        raise UsageError(f"backbone: channels={own} in backbone_config contradicts sees={channels}")
    return inner
