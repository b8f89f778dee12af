"""The discriminator of StyleGAN2 (`stylegan2.py`): residual blocks, and a minibatch standard deviation.

N batch, C channels, H = W image size, K channels of a feature map h × w, W channels of the last map.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import check_sizes, need
from gantl_zoo.networks.conditional import check_classes
from gantl_zoo.networks.stylegan2 import Mapping, channel_widths, check_clamp
from gantl_zoo.networks.stylegan2_classes import logit_tensor
from gantl_zoo.networks.stylegan2_filters import new_kernel
from gantl_zoo.networks.stylegan2_layers import EPSILON, EqualConv, EqualLinear, column, exact


class DownBlock(nn.Module):
    """Residual block (N, K, h, w) -> (N, K', h/2, w/2). The first one takes the images (N, C, H, W)."""

    resample_filter: Tensor

    def __init__(self, channels: int, before: int, after: int, clamp: float | None) -> None:
        super().__init__()
        half = math.sqrt(0.5)  # keeps the variance of the sum
        self.fromrgb = EqualConv(channels, before, 1, clamp=clamp) if channels else None
        self.conv0 = EqualConv(before, before, 3, clamp=clamp)
        self.conv1 = EqualConv(before, after, 3, down=True, gain=half, clamp=clamp)
        self.skip = EqualConv(before, after, 1, bias=False, down=True, gain=half)
        self.register_buffer("resample_filter", new_kernel())

    def forward(self, maps: Tensor) -> Tensor:
        if self.fromrgb is not None:
            maps = maps.contiguous(memory_format=torch.channels_last)  # the layout of the convolutions
            maps = self.fromrgb(maps)  # (N, C, H, W) -> (N, K, H, W)
        skip: Tensor = self.skip(maps)  # (N, K, h, w) -> (N, K', h/2, w/2)
        return skip.add_(self.conv1(self.conv0(maps)))


class Epilogue(nn.Module):
    """Maps (N, W, 4, 4) to logits (N, outputs).

    The standard deviation over groups of at most `group` images is appended to the maps, as `extra` channels.
    """

    def __init__(self, width: int, outputs: int, group: int, extra: int, clamp: float | None) -> None:
        super().__init__()
        self.group, self.extra = group, extra
        self.conv = EqualConv(width + extra, width, 3, clamp=clamp)
        self.fc = EqualLinear(width * 16, width, active=True)
        self.out = EqualLinear(width, outputs)

    @property
    def mixes_images(self) -> bool:
        """Whether the logit of an image depends on the other images."""
        return bool(self.extra) and self.group > 1

    def deviations(self, maps: Tensor) -> Tensor:
        """The mean standard deviation (N, extra, 4, 4) of maps (N, W, 4, 4) over the images of a group.

        Groups are interleaved: image i is in the group i modulo the number of groups, N / group. A group has
        fewer images if N can't be divided by its size.
        """
        count = len(maps)
        size = next(size for size in range(min(self.group, count), 0, -1) if count % size == 0)
        groups = exact(maps).reshape(
            size, count // size, self.extra, -1
        )  # (N, W, 4, 4) -> (g, N/g, extra, …)
        deviations = (groups.var(0, correction=0) + EPSILON).sqrt()  # -> (N/g, extra, …)
        means = deviations.mean(2).repeat(size, 1)  # -> (N, extra)
        return column(means, maps).expand(-1, -1, *maps.shape[2:])  # -> (N, extra, 4, 4)

    def forward(self, maps: Tensor) -> Tensor:
        if self.extra:
            maps = torch.cat([maps, self.deviations(maps)], 1)  # (N, W, 4, 4) -> (N, W + extra, 4, 4)
        maps = self.conv(maps)  # -> (N, W, 4, 4)
        logits: Tensor = self.out(self.fc(maps.flatten(1)))  # -> (N, 16W) -> (N, W) -> (N, outputs)
        return logits


class Head(nn.Module):
    """The last block `b4` and the label mapping: (N, W, 4, 4), and labels (N,) if conditional -> (N,).

    The logit is the product of the W outputs of `b4` with the mapped class, divided by √W.
    """

    def __init__(self, b4: Epilogue, mapping: Mapping | None) -> None:
        super().__init__()
        self.b4, self.mapping = b4, mapping

    def forward(self, maps: Tensor, labels: Tensor | None = None) -> Tensor:
        logits: Tensor = self.b4(maps)
        if self.mapping is None:
            return logits.squeeze(1)
        classes = self.mapping(None, labels)  # (N,) -> (N, W)
        product: Tensor = (logits * classes).sum(1)
        return product / math.sqrt(classes.shape[1])


class StyleGAN2Discriminator(nn.Module):
    """Maps images (N, C, H, W) in [-1, 1], and labels (N,) if class-conditional, to logits (N,)."""

    def __init__(self, downs: list[DownBlock], head: Head, channels: int, num_classes: int) -> None:
        super().__init__()
        side = 4 << len(downs)
        self.image_shape, self.num_classes = (channels, side, side), num_classes
        for number, block in enumerate(downs):
            self.add_module(f"b{side >> number}", block)
        self.b4 = head.b4
        if head.mapping is not None:
            self.mapping = head.mapping
        # in a tuple, so that the names of its tensors are those of the official network
        self.whole = ([*downs, head],)

    @property
    def blocks(self) -> list[nn.Module]:
        """The residual blocks from the image on, then the head."""
        return list(self.whole[0])

    def convert_classes(self, key: str, source: nn.Module | None) -> tuple[Tensor, str] | None:
        """The value of a tensor if the number of classes changes; see `logit_tensor`."""
        return None if source is None else logit_tensor(self, key, source)

    def forward(self, images: Tensor, labels: Tensor | None = None) -> Tensor:
        *downs, head = self.blocks
        maps, labels = images, need(self, labels)
        for block in downs:
            maps = block(maps)  # (N, K, h, w) -> (N, K', h/2, w/2)
        logits: Tensor = head(maps, labels)  # (N, W, 4, 4) -> (N,)
        return logits


def discriminator(
    *,
    image_size: int = 64,
    channels: int = 3,
    num_classes: int = 0,
    channel_base: int = 16384,
    channel_max: int = 512,
    mbstd_group: int = 4,
    mbstd_channels: int = 1,
    mapping_layers: int = 8,
    conv_clamp: float | None = None,
) -> StyleGAN2Discriminator:
    """StyleGAN2 discriminator (Karras et al. 2020). Paper: https://arxiv.org/abs/1912.04958, section 4.

    Its blocks are one for each resolution from the image to 8×8, and the head. The option `--freezed` of the
    official code counts layers: 4 of the first block and 3 of each other one, so 10 layers are 3 blocks.

    `image_size`: height and width of the images in pixels; a power of two from 8 on.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    `channel_base`: number of channels of a map times its side, up to `channel_max`; 16384 or 32768 in the
        paper.
    `channel_max`: largest number of channels of a map.
    `mbstd_group`: largest number of images over which the standard deviation is computed.
    `mbstd_channels`: number of maps of standard deviations; 0 means none.
    `mapping_layers`: number of layers of the label mapping of a class-conditional discriminator.
    `conv_clamp`: limit of the values of all maps, such as 256 for float16; None means no limit.
    """
    check_sizes("stylegan2", channels=channels, mbstd_group=mbstd_group, mapping_layers=mapping_layers)
    classes, clamp = check_classes("stylegan2", num_classes), check_clamp(conv_clamp)
    last, *widths = channel_widths(image_size, channel_base, channel_max)
    check_deviations(mbstd_channels, last)
    pairs = zip(reversed(widths), [*reversed(widths[:-1]), last], strict=True)
    downs = [DownBlock(0 if number else channels, *pair, clamp) for number, pair in enumerate(pairs)]
    mapping = Mapping(0, classes, last, mapping_layers, average=False) if classes else None
    head = Head(Epilogue(last, last if classes else 1, mbstd_group, mbstd_channels, clamp), mapping)
    return StyleGAN2Discriminator(downs, head, channels, classes)


def check_deviations(maps: int, channels: int) -> None:
    """Raise `UsageError` if the last map has no equal groups of `channels` for that many deviations."""
    if maps < 0 or (maps and channels % maps):
        raise UsageError(
            f"stylegan2: mbstd_channels must divide the {channels} channels of the last map, or be 0, "
            f"not {maps}"
        )
