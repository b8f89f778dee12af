"""The discriminator of Projected GAN: four heads on frozen, randomly mixed features of a pretrained backbone.

Sauer et al. 2021, https://arxiv.org/abs/2111.01007, section 3 and figure 2. With `width=64` the layers have
the published numbers of channels. With classes each head has a projection of the mean of its last feature
map (Miyato & Koyama 2018, https://arxiv.org/abs/1802.05637).

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
from gantl_zoo.networks.base import check_sizes, need
from gantl_zoo.networks.conditional import Projection, check_classes
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.projected_backbone import frozen_body, is_release, set_side

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
        layers += [conv, nn.BatchNorm2d(wider), nn.LeakyReLU(0.2, inplace=True)]
        channels = wider
    last = min(4, side >> halvings)
    return nn.Sequential(*layers, spectral_norm(nn.Conv2d(channels, 1, last, bias=False)))


class ProjectedDiscriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1] to logits (N, L): those of all places of all heads.

    Only the heads are trained. If the backbone is a `release`, its name and hash identify its weights, and
    neither a model's file nor a checkpoint contains them.
    """

    freeze = True  # `extract` has no trained layer
    any_size = True  # fits images of another size itself; there a head may have other layers
    random_features = False  # True if built on a backbone with random weights; loading keeps it

    def __init__(
        self,
        backbone: Any,
        image_shape: tuple[int, int, int],
        width: int,
        release: bool,
        num_classes: int = 0,
    ) -> None:
        super().__init__()
        self.image_shape, self.num_classes = image_shape, num_classes
        self.sees: int = backbone.channels
        self.backbone = backbone.eval().requires_grad_(False)
        self.feature_maps = FrozenPyramid(backbone)
        with torch.no_grad():
            zeros = torch.zeros(1, self.sees, *image_shape[1:], device=next(backbone.parameters()).device)
            maps = backbone.pyramid(zeros)[-LEVELS:]
        sides = [2 * min(features.shape[-2:]) for features in maps]
        self.mixing = Mixing([features.shape[1] for features in maps], width)
        self.heads = nn.ModuleList(
            head(channels, side, width) for channels, side in zip(self.mixing.widths, sides, strict=True)
        )
        self.classes = nn.ModuleList(class_term(one, num_classes) for one in self.heads if num_classes)
        if release:
            self.register_state_dict_post_hook(_without_backbone)  # type: ignore[no-untyped-call]
            self.register_load_state_dict_pre_hook(_with_own_backbone)  # type: ignore[no-untyped-call]

    @property
    def blocks(self) -> list[nn.Module]:
        """Trainable modules: the heads, and the classes' terms if there are classes."""
        return [self.heads, self.classes] if self.num_classes else [self.heads]

    def train(self, mode: bool = True) -> ProjectedDiscriminator:
        super().train(mode)
        self.backbone.eval()
        return self

    def extract(self, images: Tensor) -> list[Tensor]:
        """The mixed frozen features of images (N, C, H, W): maps (N, K, h, w), fine to coarse."""
        maps = self.feature_maps(
            images.expand(-1, self.sees, -1, -1)
        )  # (N, C, H, W) -> (N, sees, H, W) -> maps
        mixed: list[Tensor] = self.mixing(maps[-len(self.heads) :])
        return mixed

    def logits(self, features: Sequence[Tensor], labels: Tensor | None = None) -> Tensor:
        """The logits (N, L) of what `extract` returns, for the labels (N,) if there are classes."""
        labels = need(self, labels)
        heads: list[Any] = list(self.heads)
        hidden = [body(head, one) for head, one in zip(heads, features, strict=True)]
        places = [head[-1](one).flatten(1) for head, one in zip(heads, hidden, strict=True)]
        if labels is not None:
            for level, (term, one) in enumerate(zip(self.classes, hidden, strict=True)):
                places[level] = places[level] + term(one.mean(dim=(2, 3)), labels)[:, None]  # + (N, 1)
        return torch.cat(places, dim=1)  # levels × (N, places) -> (N, L)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        return self.logits(self.extract(images), labels)


def body(head: Any, features: Tensor) -> Tensor:
    """The last feature map (N, K, s, s) of a head, before its logits."""
    for layer in head[:-1]:
        features = layer(features)
    return features


def class_term(head: Any, num_classes: int) -> Projection:
    """The projection of a head's last feature map. It begins with zeros: no class has an effect."""
    term = Projection(num_classes, head[-1].in_channels, bounded=True)
    nn.init.zeros_(term.weight)
    return term


def _without_backbone(module: Any, state: dict[str, Tensor], prefix: str, metadata: Any) -> None:
    for name in [name for name in state if name.startswith(f"{prefix}backbone.")]:
        del state[name]


def _with_own_backbone(module: Any, state: dict[str, Tensor], prefix: str, *rest: Any) -> None:
    for name, tensor in module.backbone.state_dict().items():
        state.setdefault(f"{prefix}backbone.{name}", tensor)


@registry.starting_weights(weights=None, pretrained=False)
def discriminator(
    *,
    backbone: str = "cnn",
    sha256: str = "",
    weights: str | None = None,
    pretrained: bool = True,
    image_size: int = 28,
    channels: int = 1,
    resize: int | None = None,
    width: int = 64,
    num_classes: int = 0,
    backbone_config: Mapping[str, Any] | None = None,
) -> ProjectedDiscriminator:
    """Discriminator of Projected GAN: four heads on frozen features (Sauer et al. 2021).

    The features are mixed at random. Train it with the hinge loss and DiffAugment.
    Paper: https://arxiv.org/abs/2111.01007, section 3.

    `backbone`: name of a released classifier, such as cnn-mnist or efficientnet-lite0-imagenet; or of an
        architecture, such as timm:resnet18.
    `sha256`: hash of the weights of a released classifier, which is checked; "" accepts any weights.
    `weights`: folder of a saved classifier whose weights an architecture starts from.
    `pretrained`: whether a timm: backbone loads timm's pretrained weights, if `weights` is None.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB. A backbone for RGB gets the channel
        of grey images three times.
    `resize`: height and width to which images are resized for the backbone; None means as the backbone does.
    `width`: number of channels of the finest mixed map, 64 in the paper. All others are multiples of it.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    `backbone_config`: arguments of an architecture.
    """
    check_sizes("projected", width=width, image_size=image_size)
    body, kept, random = frozen_body(backbone, channels, backbone_config or {}, sha256, weights, pretrained)
    if resize is not None:
        set_side(backbone, body, resize)
    classes, shape = check_classes("projected", num_classes), (channels, image_size, image_size)
    network: Any = ProjectedDiscriminator(body, shape, width, is_release(backbone), classes)
    network.random_features = random
    network.config = kept | config_of(network, backbone, width, resize)
    return network  # type: ignore[no-any-return]


def config_of(
    network: ProjectedDiscriminator, backbone: str, width: int, resize: int | None
) -> dict[str, Any]:
    """The arguments that build the network, except those of its backbone's weights."""
    channels, size, _ = network.image_shape
    own: dict[str, Any] = {"backbone": backbone, "image_size": size, "channels": channels, "width": width}
    return own | {"resize": resize} | ({"num_classes": network.num_classes} if network.num_classes else {})
