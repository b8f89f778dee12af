"""The layers of StyleGAN2 (`stylegan2.py`): equalised learning rates, modulation, resampling.

Karras et al. 2020 (https://arxiv.org/abs/1912.04958, section 2). Equalised learning rates are those of Karras
et al. 2018 (https://arxiv.org/abs/1710.10196, section 4.1). All tensors have the official networks' names.

N batch, I, O channels before and after a layer, W size of an intermediate latent, h × w size of a map.
"""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo.networks.stylegan2_filters import blur, downsample, new_kernel

SLOPE = 0.2  # of the leaky ReLU
GAIN = math.sqrt(2)  # keeps the variance after the leaky ReLU
EPSILON = 1e-8


def exact(tensor: Tensor) -> Tensor:
    """The tensor in float32, or in float64 if that is its dtype."""
    return tensor.to(torch.promote_types(tensor.dtype, torch.float32))


def no_autocast(like: Tensor) -> AbstractContextManager[Any]:
    """A context without autocast on the tensor's device."""
    device = like.device.type
    if not torch.is_autocast_enabled(device):
        return nullcontext()  # adds nothing to an exported graph
    return torch.autocast(device, enabled=False)


def normalized(vectors: Tensor) -> Tensor:
    """Vectors (N, F) with a mean square of 1."""
    vectors = exact(vectors)
    return vectors * torch.rsqrt(vectors.square().mean(1, keepdim=True) + EPSILON)


def activated(maps: Tensor, clamp: float | None) -> Tensor:
    """Leaky ReLU, which overwrites the given maps. Values are limited to ± `clamp`."""
    maps = functional.leaky_relu_(maps, SLOPE)
    return maps if clamp is None else maps.clamp(-clamp, clamp)


def column(vectors: Tensor, maps: Tensor) -> Tensor:
    """Vectors (…, K) as (…, K, 1, 1), in the dtype of maps."""
    return vectors[..., None, None].to(maps.dtype)


def as_used(weight: Tensor, transposed: bool) -> nn.Parameter:
    """A weight (O, I, k, k) in the memory layout that its convolution uses, which saves a copy in each call.

    That is channels-last; `transposed`: of the transposed convolution's weight (I, O, k, k).
    """
    used = weight.detach().transpose(0, 1) if transposed else weight.detach()
    used = used.contiguous(memory_format=torch.channels_last)
    return nn.Parameter(used.transpose(0, 1) if transposed else used)


class EqualLinear(nn.Linear):
    """Linear layer (N, I) -> (N, O) with an equalised learning rate. It never computes under autocast.

    A stored weight has the standard deviation 1/`lr_multiplier`; the inputs are scaled instead of it.
    `active` adds a leaky ReLU.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        active: bool = False,
        bias: float = 0.0,
        lr_multiplier: float = 1.0,
    ) -> None:
        super().__init__(inputs, outputs)
        self.active, self.lr_multiplier = active, lr_multiplier
        nn.init.normal_(self.weight, 0.0, 1 / lr_multiplier)
        nn.init.constant_(self.bias, bias)

    @property
    def weight_scale(self) -> float:
        """The factor of the stored weight."""
        return self.lr_multiplier / math.sqrt(self.in_features)

    def forward(self, inputs: Tensor) -> Tensor:
        gain = GAIN if self.active else 1.0
        inputs, bias = inputs.to(self.weight.dtype), self.bias * (self.lr_multiplier * gain)
        with no_autocast(inputs):
            outputs = functional.linear(inputs * (self.weight_scale * gain), self.weight, bias)  # -> (N, O)
        return functional.leaky_relu_(outputs, SLOPE) if self.active else outputs


class EqualConv(nn.Conv2d):
    """Convolution of the discriminator: (N, I, h, w) -> (N, O, h, w), or (N, O, h/2, w/2) if `down`.

    It has an equalised learning rate. A leaky ReLU follows if it has a bias. `gain` scales the output.
    """

    resample_filter: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        *,
        bias: bool = True,
        down: bool = False,
        gain: float = 1.0,
        clamp: float | None = None,
    ) -> None:
        super().__init__(inputs, outputs, kernel, bias=bias)
        self.down, self.gain = down, gain
        self.clamp = None if clamp is None else clamp * gain
        nn.init.normal_(self.weight)
        self.weight = as_used(self.weight, transposed=False)
        if self.bias is not None:
            nn.init.zeros_(self.bias)
        self.register_buffer("resample_filter", new_kernel())

    @property
    def weight_scale(self) -> float:
        """The factor of the stored weight."""
        return 1 / math.sqrt(self.weight[0].numel())

    def forward(self, maps: Tensor) -> Tensor:
        gain = self.gain * (1.0 if self.bias is None else GAIN)  # also of the leaky ReLU
        weight = self.weight * (gain * self.weight_scale)
        bias = None if self.bias is None else self.bias * gain
        stride, padding = 1, self.kernel_size[0] // 2
        if self.down and padding:
            maps, stride, padding = (
                blur(maps, self.resample_filter, padding=2),
                2,
                0,
            )  # -> (N, I, h + 1, w + 1)
        elif self.down:
            maps = downsample(maps, self.resample_filter)  # -> (N, I, h/2, w/2)
        maps = functional.conv2d(maps.to(weight.dtype), weight, bias, stride, padding)
        return maps if bias is None else activated(maps, self.clamp)


class ModulatedConv(nn.Conv2d):
    """3×3 convolution of the generator: (N, I, h, w) -> (N, O, h, w), or (N, O, 2h, 2w) if `up`.

    The style of an intermediate latent (N, W) scales the input channels, and the demodulation scales the
    output channels (equations 1 and 3). The result is that of a convolution with one weight for each image,
    without a grouped convolution. For one image with large maps they scale the weight, which is smaller.
    `noise` is "random", "const" or "none".
    """

    resample_filter: Tensor
    noise_const: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        w_dim: int,
        side: int,
        *,
        up: bool = False,
        clamp: float | None = None,
    ) -> None:
        super().__init__(inputs, outputs, 3)
        self.up, self.clamp = up, clamp
        self.affine = EqualLinear(w_dim, inputs, bias=1.0)
        self.noise_strength = nn.Parameter(torch.zeros(()))
        self.register_buffer("noise_const", torch.randn(side, side))
        self.register_buffer("resample_filter", new_kernel())
        nn.init.normal_(self.weight)
        self.weight = as_used(self.weight, transposed=up)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    @property
    def scale_and_shift(self) -> list[Tensor]:
        """The parameters of the styles, and the bias; for the strategy `scale-shift`."""
        assert self.bias is not None
        return [*self.affine.parameters(), self.bias]

    def scales(self, latents: Tensor) -> tuple[Tensor, Tensor]:
        """The factors of the input channels (N, I) and of the output channels (N, O).

        A number for each image is taken from one factor and given to the other, so that no value of the maps
        overflows in float16.
        """
        style = exact(self.affine(latents))  # (N, W) -> (N, I)
        energy = exact(self.used).square().sum((2, 3))  # (I, O) if `up`, else (O, I)
        with no_autocast(latents):
            energy = energy if self.up else energy.T
            demodulation = torch.rsqrt(style.square() @ energy + EPSILON)  # (N, I) -> (N, O)
        moved = style.detach().abs().amax(1, keepdim=True).clamp_min(EPSILON)
        moved = moved * math.sqrt(self.weight[0].numel())
        return style / moved, demodulation * moved

    @property
    def used(self) -> Tensor:
        """The weight of the convolution that is called: (I, O, 3, 3) if `up`, else (O, I, 3, 3)."""
        return self.weight.transpose(0, 1) if self.up else self.weight

    def forward(self, maps: Tensor, latents: Tensor, noise: str) -> Tensor:  # type: ignore[override]
        assert self.bias is not None
        before, after = self.scales(latents)
        after, bias = after * (GAIN * (4 if self.up else 1)), self.bias * GAIN
        if maps.shape[0] == 1 and maps[0, 0].numel() > self.weight[:, 0].numel():  # larger than the weight
            factors = before.T * after if self.up else after.T * before  # (I, O) or (O, I)
            maps = self.convolved(maps, self.used * column(factors, self.used), bias)
        else:
            maps = self.convolved(maps * column(before, maps), self.used)
            maps = torch.addcmul(column(bias, maps), maps, column(after, maps))
        if noise != "none":
            maps = maps.add_(self.noise(maps, noise) * (self.noise_strength * GAIN).to(maps.dtype))
        return activated(maps, self.clamp)

    def convolved(self, maps: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
        """The convolution: (N, I, h, w) -> (N, O, h, w), or a quarter of (N, O, 2h, 2w) if `up`.

        Three of four values before the filter are zeros.
        """
        if not self.up:
            return functional.conv2d(maps, weight, bias, padding=1)
        maps = functional.conv_transpose2d(maps, weight, stride=2)
        maps = blur(maps, self.resample_filter, padding=1)  # (N, O, 2h + 1, 2w + 1) -> (N, O, 2h, 2w)
        return maps if bias is None else maps.add_(column(bias, maps))

    def noise(self, maps: Tensor, kind: str) -> Tensor:
        """Noise (1, 1, h, w), or (N, 1, h, w) if `kind` is "random"."""
        if kind == "const":
            return self.noise_const.to(maps.dtype)[None, None]
        return torch.randn_like(maps[:, :1])


class ToImage(nn.Conv2d):
    """Modulated 1×1 convolution without demodulation: (N, I, h, w) -> (N, C, h, w)."""

    def __init__(self, inputs: int, channels: int, w_dim: int, clamp: float | None = None) -> None:
        super().__init__(inputs, channels, 1)
        self.clamp = clamp
        self.affine = EqualLinear(w_dim, inputs, bias=1.0)
        nn.init.normal_(self.weight)
        nn.init.zeros_(self.bias)  # type: ignore[arg-type]

    @property
    def scale_and_shift(self) -> list[Tensor]:
        """The parameters of the styles, and the bias; for the strategy `scale-shift`."""
        assert self.bias is not None
        return [*self.affine.parameters(), self.bias]

    def forward(self, maps: Tensor, latents: Tensor) -> Tensor:  # type: ignore[override]
        assert self.bias is not None
        style = self.affine(latents) / math.sqrt(self.in_channels)  # (N, W) -> (N, I)
        weight = (self.weight[:, :, 0, 0] * style[:, None]).to(maps.dtype)  # (C, I), (N, 1, I) -> (N, C, I)
        pixels = maps.permute(0, 2, 3, 1).flatten(1, 2)  # (N, I, h, w) -> (N, hw, I)
        image = exact(torch.baddbmm(self.bias.to(maps.dtype), pixels, weight.mT))
        image = image.view(maps.shape[0], *maps.shape[2:], -1).permute(
            0, 3, 1, 2
        )  # (N, hw, C) -> (N, C, h, w)
        return image if self.clamp is None else image.clamp(-self.clamp, self.clamp)
