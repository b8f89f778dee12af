"""StyleGAN2 as it is usually written: one weight for each image in a grouped convolution, and `upfirdn2d` by
inserted zeros, padding and a convolution.

The functions take the tensors of our networks, whose names are those of the official ones.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

Tensors = Mapping[str, Tensor]
GAIN = math.sqrt(2)


def upfirdn2d(
    maps: Tensor, kernel: Tensor, up: int, down: int, padding: tuple[int, int], gain: float
) -> Tensor:
    """Insert zeros, pad, filter and keep every `down`-th row and column."""
    count, channels, height, width = maps.shape
    maps = maps.reshape(count, channels, height, 1, width, 1)
    maps = functional.pad(maps, (0, up - 1, 0, 0, 0, up - 1))
    maps = maps.reshape(count, channels, height * up, width * up)
    maps = functional.pad(maps, (*padding, *padding))
    weight = (kernel * gain).flip(0, 1).to(maps.dtype)[None, None].repeat(channels, 1, 1, 1)
    return functional.conv2d(maps, weight, groups=channels)[:, :, ::down, ::down]


def fully_connected(
    inputs: Tensor, tensors: Tensors, name: str, lr: float = 1.0, active: bool = False
) -> Tensor:
    weight = tensors[f"{name}.weight"]
    weight = weight * (lr / math.sqrt(weight.shape[1]))
    outputs = functional.linear(inputs, weight, tensors[f"{name}.bias"] * lr)
    return functional.leaky_relu(outputs, 0.2) * GAIN if active else outputs


def modulated_conv(maps: Tensor, weight: Tensor, style: Tensor, up: bool, demodulate: bool) -> Tensor:
    count, channels, height, width = maps.shape
    weights = weight[None] * style[:, None, :, None, None]  # (N, O, I, k, k)
    if demodulate:
        weights = weights * (weights.square().sum((2, 3, 4), keepdim=True) + 1e-8).rsqrt()
    maps = maps.reshape(1, count * channels, height, width)
    if up:
        weights = weights.transpose(1, 2).flatten(0, 1)  # (N · I, O, k, k)
        result = functional.conv_transpose2d(maps, weights, stride=2, groups=count)
    else:
        padding = weight.shape[-1] // 2
        result = functional.conv2d(maps, weights.flatten(0, 1), padding=padding, groups=count)
    return result.reshape(count, -1, *result.shape[2:])


def layer(maps: Tensor, latents: Tensor, tensors: Tensors, name: str, up: bool = False) -> Tensor:
    style = fully_connected(latents, tensors, f"{name}.affine")
    maps = modulated_conv(maps, tensors[f"{name}.weight"], style, up, demodulate=True)
    if up:
        maps = upfirdn2d(maps, tensors[f"{name}.resample_filter"], 1, 1, (1, 1), 4.0)
    noise = tensors[f"{name}.noise_const"] * tensors[f"{name}.noise_strength"]
    maps = maps + noise.to(maps.dtype)
    maps = maps + tensors[f"{name}.bias"].to(maps.dtype)[None, :, None, None]
    return functional.leaky_relu(maps, 0.2) * GAIN


def to_image(maps: Tensor, latents: Tensor, tensors: Tensors, name: str) -> Tensor:
    weight = tensors[f"{name}.weight"]
    style = fully_connected(latents, tensors, f"{name}.affine") / math.sqrt(weight.shape[1])
    part = modulated_conv(maps, weight, style, up=False, demodulate=False)
    return part.float() + tensors[f"{name}.bias"][None, :, None, None]


def generate(tensors: Tensors, noise: Tensor, side: int) -> Tensor:
    """The images of an unconditional generator with constant noise."""
    latents = noise * (noise.square().mean(1, keepdim=True) + 1e-8).rsqrt()
    number = 0
    while f"mapping.fc{number}.weight" in tensors:
        latents = fully_connected(latents, tensors, f"mapping.fc{number}", lr=0.01, active=True)
        number += 1
    maps = tensors["synthesis.b4.const"][None].repeat(len(noise), 1, 1, 1)
    maps = layer(maps, latents, tensors, "synthesis.b4.conv1")
    image = to_image(maps, latents, tensors, "synthesis.b4.torgb")
    for size in (8 << i for i in range(side.bit_length() - 3)):
        block = f"synthesis.b{size}"
        maps = layer(maps, latents, tensors, f"{block}.conv0", up=True)
        maps = layer(maps, latents, tensors, f"{block}.conv1")
        image = upfirdn2d(image, tensors[f"{block}.resample_filter"], 2, 1, (2, 1), 4.0)
        image = image + to_image(maps, latents, tensors, f"{block}.torgb")
    return image


def conv(maps: Tensor, tensors: Tensors, name: str, down: bool = False, gain: float = 1.0) -> Tensor:
    weight, bias = tensors[f"{name}.weight"], tensors.get(f"{name}.bias")
    weight = weight / math.sqrt(weight[0].numel())
    kernel = weight.shape[-1]
    if down:
        padding = (kernel + 1) // 2 if kernel > 1 else 1
        skipped = 1 if kernel > 1 else 2
        maps = upfirdn2d(maps, tensors[f"{name}.resample_filter"], 1, skipped, (padding, padding), 1.0)
        maps = functional.conv2d(maps, weight, stride=2 if kernel > 1 else 1)
    else:
        maps = functional.conv2d(maps, weight, padding=kernel // 2)
    if bias is None:
        return maps * gain
    maps = maps + bias.to(maps.dtype)[None, :, None, None]
    return functional.leaky_relu(maps, 0.2) * (GAIN * gain)


def discriminate(tensors: Tensors, images: Tensor, group: int = 4) -> Tensor:
    """The logits (N,) of an unconditional discriminator."""
    side, half = images.shape[-1], math.sqrt(0.5)
    maps = conv(images, tensors, f"b{side}.fromrgb")
    for size in (side >> i for i in range(side.bit_length() - 3)):
        skip = conv(maps, tensors, f"b{size}.skip", down=True, gain=half)
        maps = conv(maps, tensors, f"b{size}.conv0")
        maps = skip + conv(maps, tensors, f"b{size}.conv1", down=True, gain=half)
    count, channels, height, width = maps.shape
    groups = maps.float().reshape(min(group, count), -1, channels, height, width)
    deviation = ((groups - groups.mean(0)).square().mean(0) + 1e-8).sqrt().mean((1, 2, 3))
    deviation = deviation.repeat(min(group, count))[:, None, None, None].expand(-1, 1, height, width)
    maps = conv(torch.cat([maps, deviation.to(maps.dtype)], 1), tensors, "b4.conv")
    maps = fully_connected(maps.flatten(1).float(), tensors, "b4.fc", active=True)
    return fully_connected(maps, tensors, "b4.out").squeeze(1)
