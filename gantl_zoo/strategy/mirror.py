"""`mirror`: initialise the generator's convolutions with the kernels of a pretrained CNN, in reverse order.

This is a literal reading of the article's "pre-trained CNN as the generator's base": the CNN's first layer
initialises the generator's last one, and so on.
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
    """Initialise the generator with the kernels of a pretrained CNN, in reverse order.

    `backbone`: trained classifier: name of a released one, folder of a saved one, or timm:NAME. With "auto",
        colour images get efficientnet-lite0-imagenet, if its plug-in is installed. Otherwise images of up to
        64 pixels a side get a bundled one, and larger images timm:tf_efficientnet_lite0, downloaded.

    Only the backbone's kernels larger than 1×1 that change the number of channels are used: one per stage
    (only the first in a MobileNet, whose other convolutions are 1×1 or depthwise). Each kernel is repeated or
    cut to the number of channels, padded or cropped to the kernel size, and scaled to the standard deviation
    of the kernel that it replaces.
    """

    gans_only = "mirror is for GANs; a classifier has no generator"

    def __init__(self, *, backbone: str = "auto") -> None:
        self.backbone = backbone

    def prepare(self, source: GAN, target: GAN, data: Any) -> Plan:
        config = pretrained_config("mirror", self.backbone, target.image_shape)
        network = registry.discriminators.build("backbone", **config).backbone
        convolutions = spatial_convolutions(network)
        sources = [m for m in convolutions if m.groups == 1 and m.in_channels != m.out_channels]
        targets = spatial_convolutions(target.generator)[::-1]
        if not sources or not targets:
            raise UsageError(f"mirror: {self.backbone} or {source.name} has no convolution to use")
        with torch.no_grad():
            for conv, model in zip(targets, sources, strict=False):  # as many as both have
                conv.weight.copy_(mirrored(model.weight, conv))
        return super().prepare(source, target, data)


def spatial_convolutions(network: nn.Module) -> list[nn.Conv2d | nn.ConvTranspose2d]:
    """The convolutions with kernels larger than 1×1, in order."""
    layers = [m for m in network.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]
    return [conv for conv in layers if conv.kernel_size != (1, 1)]


def mirrored(kernel: Tensor, conv: nn.Conv2d | nn.ConvTranspose2d) -> Tensor:
    """Convert the kernel (K, C, h, w) of a layer from C to K channels to one for `conv`, from K to C."""
    weight = conv.weight
    transposed = isinstance(conv, nn.ConvTranspose2d)
    inputs, outputs = weight.shape[:2] if transposed else (weight.shape[1], weight.shape[0])
    rows = torch.arange(inputs) % kernel.shape[0]
    columns = torch.arange(outputs) % kernel.shape[1]
    result = fit_side(fit_side(kernel[rows][:, columns], 2, weight.shape[2]), 3, weight.shape[3])
    if not transposed:  # a transposed convolution is a convolution with the flipped kernel
        result = result.flip(2, 3).transpose(0, 1)
    return result * (weight.std() / result.std().clamp_min(1e-12))


def fit_side(kernel: Tensor, dim: int, size: int) -> Tensor:
    """Zero-pad or crop the kernel around its centre to `size` along `dim`."""
    old_size = kernel.shape[dim]
    if old_size >= size:
        return kernel.narrow(dim, (old_size - size) // 2, size)
    before = (size - old_size) // 2
    parts = [
        kernel.new_zeros(*kernel.shape[:dim], n, *kernel.shape[dim + 1 :])
        for n in (before, size - old_size - before)
    ]
    return torch.cat([parts[0], kernel, parts[1]], dim)
