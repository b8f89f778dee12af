"""The residual blocks and resampling of R3GAN (`r3.py`).

N batch, K channels of a feature map h × w.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import NamedTuple, TypeVar

from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.stylegan2_filters import downsample, new_kernel, upsample

Layer = TypeVar("Layer", nn.Conv2d, nn.Linear, nn.Embedding)

EXPANSION = 2  # channels inside a block, as a multiple of those outside
SLOPE = 0.2  # of the leaky ReLU
FULL = 4  # stages of the full width; later ones have half the channels of the stage before


class Stage(NamedTuple):
    """One resolution: its channels, and its number of residual blocks."""

    width: int
    blocks: int


class Shape(NamedTuple):
    """The stages from the smallest grid to the image, and what all of them share."""

    grid: int
    stages: list[Stage]
    group_width: int

    @property
    def total(self) -> int:
        """The number of residual blocks of the network."""
        return sum(stage.blocks for stage in self.stages)


def shape_of(
    image_size: int, width: int, widths: Sequence[int] | None, blocks: int | Sequence[int], group_width: int
) -> Shape:
    """The stages for an image size. Raises `UsageError` for settings that can't be built."""
    grid, count = grid_and_stages(image_size)
    channels = list(widths) if widths is not None else [width] * FULL
    depths = [blocks] * count if isinstance(blocks, int) else list(blocks)
    for name, numbers in (("widths", channels), ("blocks", depths)):
        if not numbers or min(numbers) < 1:
            raise UsageError(f"r3: {name} must be one or more numbers of at least 1, not {numbers}")
    while len(channels) < count:
        channels.append(max(1, channels[-1] // 2))
    depths += depths[-1:] * (count - len(depths))
    return Shape(grid, [Stage(*pair) for pair in zip(channels, depths, strict=False)][:count], group_width)


def grid_and_stages(image_size: int) -> tuple[int, int]:
    """The side of the smallest grid, and the number of stages from it to the image."""
    for grid in (7, 4):
        doublings = (image_size // grid).bit_length() - 1
        if doublings >= 1 and grid << doublings == image_size:
            return grid, doublings + 1
    raise UsageError(f"r3: image_size {image_size} is not 7 or 4 times a power of two (28, 32, 64, 128, …)")


class Block(nn.Module):
    """Residual block (N, K, h, w) -> (N, K, h, w): 1×1, grouped 3×3 and 1×1 convolution.

    `total` is the number of blocks of the network, which sets the scale of the initial weights.
    """

    def __init__(self, width: int, group_width: int, total: int) -> None:
        super().__init__()
        inner = EXPANSION * width
        groups = inner // math.gcd(inner, group_width)
        self.conv1 = nn.Conv2d(width, inner, 1)
        self.conv2 = nn.Conv2d(inner, inner, 3, padding=1, groups=groups)
        self.conv3 = nn.Conv2d(inner, width, 1, bias=False)
        gain = math.sqrt(2 / (1 + SLOPE**2)) * total**-0.25
        for conv in (self.conv1, self.conv2):
            init_weights(conv, gain)
        nn.init.zeros_(self.conv3.weight)

    def forward(self, features: Tensor) -> Tensor:
        new = functional.leaky_relu_(self.conv1(features), SLOPE)  # (N, K, h, w) -> (N, 2K, h, w)
        new = functional.leaky_relu_(self.conv2(new), SLOPE)
        result: Tensor = features + self.conv3(new)  # (N, 2K, h, w) -> (N, K, h, w)
        return result


class Resample(nn.Module):
    """Low-pass filter and resample: (N, K, h, w) -> (N, K, 2h, 2w) if `up`, else (N, K, h/2, w/2)."""

    kernel: Tensor

    def __init__(self, up: bool) -> None:
        super().__init__()
        self.up = up
        self.register_buffer("kernel", new_kernel(), persistent=False)

    def forward(self, features: Tensor) -> Tensor:
        return (upsample if self.up else downsample)(features, self.kernel)


def transition(before: int, after: int, up: bool) -> OrderedDict[str, nn.Module]:
    """The layers between two stages; the 1×1 convolution is left out if the width stays."""
    layers: OrderedDict[str, nn.Module] = OrderedDict(resample=Resample(up))
    if before != after:
        layers["conv"] = init_weights(nn.Conv2d(before, after, 1, bias=False))
        layers.move_to_end("conv", last=not up)  # at the lower resolution, which is cheaper
    return layers


def residual(stage: Stage, shape: Shape) -> list[Block]:
    """The residual blocks of a stage."""
    return [Block(stage.width, shape.group_width, shape.total) for _ in range(stage.blocks)]


def init_weights(layer: Layer, gain: float = 1.0, inputs: int | None = None) -> Layer:
    """Initialise weights from N(0, gain²/inputs), by default with the fan-in; biases with zeros."""
    nn.init.normal_(layer.weight, 0.0, gain / math.sqrt(inputs or layer.weight[0].numel()))
    if isinstance(layer, (nn.Conv2d, nn.Linear)) and layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
