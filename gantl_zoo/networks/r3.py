"""R3GAN (Huang et al. 2024, https://arxiv.org/abs/2501.05441, section 4): convolutions without normalization.

The networks have neither norms nor noise inputs. Each block is a residual bottleneck with a grouped
convolution, and the last convolution of each block starts at zero (fix-up initialization). A stage is the
blocks of one resolution, from 4×4 (7×7 for sizes such as 28) to the image. The generator has no tanh, so its
output may leave [-1, 1].

N batch, C channels, H = W image size, Z latent size, E embedding size, K channels of a stage, L classes.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from gantl_zoo.networks.base import BlockDiscriminator, BlockGenerator, check_sizes
from gantl_zoo.networks.conditional import check_classes
from gantl_zoo.networks.r3_blocks import Shape, Stage, init_weights, residual, shape_of, transition


class UpStage(nn.Sequential):
    """Enlarge the features of the stage before, then residual blocks: (N, K, h, w) -> (N, K', 2h, 2w)."""

    def __init__(self, before: Stage, stage: Stage, shape: Shape) -> None:
        layers = transition(before.width, stage.width, up=True)
        layers["blocks"] = nn.Sequential(*residual(stage, shape))
        super().__init__(layers)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        result: Tensor = super().forward(features)  # type: ignore[no-untyped-call]
        return result


class DownStage(nn.Sequential):
    """Residual blocks, then the reduction for the stage after: (N, K, h, w) -> (N, K', h/2, w/2)."""

    def __init__(self, stage: Stage, after: Stage, shape: Shape) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict(blocks=nn.Sequential(*residual(stage, shape)))
        super().__init__(layers | transition(stage.width, after.width, up=False))


class Stem(nn.Module):
    """Maps noise (N, Z) to the features of the first stage (N, K, grid, grid).

    Each channel is a learned map times a number, which is linear in the noise and, if class-conditional, in
    the embedding of the class.
    """

    def __init__(self, latent_dim: int, shape: Shape, num_classes: int) -> None:
        super().__init__()
        width = shape.stages[0].width
        inputs = latent_dim * (2 if num_classes else 1)  # noise and embedding
        self.basis = nn.Parameter(torch.randn(width, shape.grid, shape.grid))
        self.linear = init_weights(nn.Linear(latent_dim, width, bias=False), inputs=inputs)
        self.classes: nn.Embedding | None = None
        if num_classes:
            self.classes = init_weights(nn.Embedding(num_classes, latent_dim), inputs=num_classes)
            self.class_linear = init_weights(nn.Linear(latent_dim, width, bias=False), inputs=inputs)
        self.blocks = nn.Sequential(*residual(shape.stages[0], shape))

    def forward(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        scales: Tensor = self.linear(noise)  # (N, Z) -> (N, K)
        if self.classes is not None:
            assert labels is not None  # checked by `need`
            scales = scales + self.class_linear(self.classes(labels))
        features = self.basis * scales[:, :, None, None]  # (N, K) -> (N, K, grid, grid)
        result: Tensor = self.blocks(features.contiguous(memory_format=torch.channels_last))
        return result

    def convert_classes(self, key: str, source: nn.Module | None) -> tuple[Tensor, str] | None:
        """The initial weights after an embedding that a source without classes does not have.

        They don't change the images, because the embeddings of a source without classes are zero.
        """
        if key != "class_linear.weight" or source is not None:
            return None
        return self.class_linear.weight.detach(), "initial weights after an embedding of zeros"


class ToImage(nn.Conv2d):
    """1×1 convolution (N, K, H, W) -> (N, C, H, W)."""

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        return super().forward(features)


class Head(nn.Module):
    """Residual blocks of the smallest grid, then one weight per place and channel: (N, K, g, g) -> (N,).

    If class-conditional, the logit is the product of K linear outputs with the embedding of the class.
    """

    def __init__(self, shape: Shape, num_classes: int) -> None:
        super().__init__()
        width = shape.stages[0].width
        self.blocks = nn.Sequential(*residual(shape.stages[0], shape))
        self.basis = init_weights(nn.Conv2d(width, width, shape.grid, groups=width, bias=False))
        self.linear = init_weights(nn.Linear(width, width if num_classes else 1, bias=False))
        self.classes: nn.Embedding | None = None
        if num_classes:
            table = nn.Embedding(num_classes, width)
            self.classes = init_weights(table, 1 / math.sqrt(width), inputs=num_classes)

    def forward(self, features: Tensor, labels: Tensor | None = None) -> Tensor:
        features = self.basis(self.blocks(features)).flatten(1)  # (N, K, g, g) -> (N, K)
        logits: Tensor = self.linear(features)  # (N, 1), or (N, K) if class-conditional
        if self.classes is None:
            return logits.squeeze(1)
        assert labels is not None  # checked by `need`
        result: Tensor = (logits * self.classes(labels)).sum(1)
        return result

    def convert_classes(self, key: str, source: nn.Module | None) -> tuple[Tensor, str] | None:
        """Weights that keep the logits of a source without classes, or the mean logit of its classes."""
        if self.classes is None:
            if key != "linear.weight" or not isinstance(source, Head) or source.classes is None:
                return None
            mean = source.classes.weight.detach().mean(0, keepdim=True)  # (1, K)
            return mean @ source.linear.weight.detach(), f"mean of {source.classes.num_embeddings} classes"
        row, weight = self.classes.weight.detach()[:1], self.linear.weight.detach()  # (1, K), (K, K)
        if key == "classes.weight" and source is None:
            return row.expand_as(self.classes.weight).clone(), "the same initial row for each class"
        if key != "linear.weight" or not isinstance(source, Head) or source.classes is not None:
            return None
        if source.linear.in_features != self.linear.in_features:
            return None
        missing = source.linear.weight.detach() - row @ weight  # (1, K)
        return weight + row.T @ missing / row.square().sum(), "the same logit for each class"


class R3Generator(BlockGenerator):
    """A stem, stages that double the side, a 1×1 convolution: (N, Z) -> (N, C, H, W), not bounded."""

    def __init__(self, shape: Shape, channels: int, latent_dim: int, num_classes: int = 0) -> None:
        super().__init__()
        self.latent_dim, self.num_classes = latent_dim, num_classes
        image_size = shape.grid << (len(shape.stages) - 1)
        self.image_shape = (channels, image_size, image_size)
        ups = [UpStage(before, stage, shape) for before, stage in pairwise(shape.stages)]
        last = init_weights(ToImage(shape.stages[-1].width, channels, 1, bias=False))
        self.blocks = nn.ModuleList([Stem(latent_dim, shape, num_classes), *ups, last])


class R3Discriminator(BlockDiscriminator):
    """A 1×1 convolution, stages that halve the side, a head: (N, C, H, W) -> (N,)."""

    def __init__(self, shape: Shape, channels: int, num_classes: int = 0) -> None:
        super().__init__()
        self.num_classes = num_classes
        image_size = shape.grid << (len(shape.stages) - 1)
        self.image_shape = (channels, image_size, image_size)
        first = init_weights(nn.Conv2d(channels, shape.stages[-1].width, 1, bias=False))
        downs = [DownStage(stage, after, shape) for stage, after in pairwise(reversed(shape.stages))]
        self.blocks = nn.ModuleList([first, *downs, Head(shape, num_classes)])


def generator(
    *,
    image_size: int = 32,
    channels: int = 3,
    width: int = 256,
    widths: Sequence[int] | None = None,
    blocks: int | Sequence[int] = 2,
    group_width: int = 16,
    latent_dim: int = 64,
    num_classes: int = 0,
) -> R3Generator:
    """R3GAN generator (Huang et al. 2024). Paper: https://arxiv.org/abs/2501.05441, section 4.

    `image_size`: height and width of the images in pixels; 7 or 4 times a power of two, such as 28 or 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the first four stages (4×4 to 32×32); each stage after them has half the
        channels of the stage before.
    `widths`: number of channels of each stage from 4×4 on, instead of `width`; each stage after those listed
        has half the channels of the stage before.
    `blocks`: number of residual blocks of each stage, or a list of these numbers from 4×4 on.
    `group_width`: number of channels of a group in the grouped convolutions, or their greatest common divisor
        with twice the width. The cardinality of the paper is twice the width divided by this number.
    `latent_dim`: size of the latent vector, and of the embedding of a class.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    """
    check_sizes("r3", channels=channels, width=width, group_width=group_width, latent_dim=latent_dim)
    shape = shape_of(image_size, width, widths, blocks, group_width)
    return R3Generator(shape, channels, latent_dim, check_classes("r3", num_classes))


def discriminator(
    *,
    image_size: int = 32,
    channels: int = 3,
    width: int = 256,
    widths: Sequence[int] | None = None,
    blocks: int | Sequence[int] = 2,
    group_width: int = 16,
    num_classes: int = 0,
) -> R3Discriminator:
    """R3GAN discriminator (Huang et al. 2024). Paper: https://arxiv.org/abs/2501.05441, section 4.

    `image_size`: height and width of the images in pixels; 7 or 4 times a power of two, such as 28 or 64.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `width`: number of channels of the last four stages (32×32 to 4×4); each stage before them has half the
        channels of the stage after it.
    `widths`: number of channels of each stage from 4×4 on, as for the generator, instead of `width`.
    `blocks`: number of residual blocks of each stage, or a list of these numbers from 4×4 on.
    `group_width`: number of channels of a group in the grouped convolutions, as for the generator.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    """
    check_sizes("r3", channels=channels, width=width, group_width=group_width)
    shape = shape_of(image_size, width, widths, blocks, group_width)
    return R3Discriminator(shape, channels, check_classes("r3", num_classes))
