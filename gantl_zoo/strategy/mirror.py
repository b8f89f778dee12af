"""`mirror`: the generator's convolutions start from a trained network's own kernels, in reverse order.

The article's "pre-trained CNN as the generator's base", taken at its word: what the network reads layer by
layer from the image, the generator writes layer by layer towards it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.pretrained import pretrained_config
from gantl_zoo.strategy.base import Plan, TransferStrategy


class Mirror(TransferStrategy):
    """Kernels of `backbone` (as for `projected`) replace the generator's, nearest to the image first.

    Of the backbone those count that are larger than 1×1 and change the number of channels: one a stage
    (of a MobileNet, whose other convolutions are 1×1 or depthwise, the first alone). A kernel is
    repeated or cut to the channels, padded or cut to the size, and scaled to the spread of the one that it
    replaces.
    """

    gans_only = "mirror is for GANs; a classifier has no generator"

    def __init__(self, *, backbone: str = "auto") -> None:
        self.backbone = backbone

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        config = pretrained_config("mirror", self.backbone, target.image_shape)
        network = registry.discriminators.build("backbone", **config).backbone
        read = [m for m in wide(network) if m.groups == 1 and m.in_channels != m.out_channels]
        written = wide(target.generator)[::-1]
        if not read or not written:
            raise UsageError(f"mirror: {self.backbone} and {source.name} have no convolutions to match")
        with torch.no_grad():
            for conv, model in zip(written, read, strict=False):  # the shorter of both ends it
                conv.weight.copy_(mirrored(model.weight, conv))
        return super().prepare(source, target, data)


def wide(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """The convolutions, in order, whose kernels are larger than 1×1."""
    found = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    return [conv for conv in found if conv.kernel_size != (1, 1)]


def mirrored(kernel: Tensor, conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """The kernel (K, C, h, w) of a layer from C to K channels as that of `conv`, which goes the other way."""
    weight = conv.weight
    transposed = isinstance(conv, nn.ConvTranspose2d)
    inputs, outputs = weight.shape[:2] if transposed else (weight.shape[1], weight.shape[0])
    rows = torch.arange(inputs) % kernel.shape[0]
    columns = torch.arange(outputs) % kernel.shape[1]
    found = fit_side(fit_side(kernel[rows][:, columns], 2, weight.shape[2]), 3, weight.shape[3])
    if not transposed:  # a transposed convolution is one with the kernel turned round
        found = found.flip(2, 3).transpose(0, 1)
    return found * (weight.std() / found.std().clamp_min(1e-12))


def fit_side(kernel: Tensor, dim: int, size: int) -> Tensor:
    """Padded with zeros, or cut, around its centre to `size` along `dim`."""
    have = kernel.shape[dim]
    if have >= size:
        return kernel.narrow(dim, (have - size) // 2, size)
    before = (size - have) // 2
    parts = [
        kernel.new_zeros(*kernel.shape[:dim], n, *kernel.shape[dim + 1 :])
        for n in (before, size - have - before)
    ]
    return torch.cat([parts[0], kernel, parts[1]], dim)
