"""The decoders of FastGAN's discriminator (Liu et al. 2021, https://arxiv.org/abs/2101.04775, section 3.2).

They reconstruct real images from feature maps of the discriminator, so its features must describe the whole
image. The published loss is LPIPS. Here it is the mean squared error, or a perceptual distance that needs no
ratings and no download.

N batch, C channels, H = W image size, K channels of a feature map h × w.
"""

from __future__ import annotations

from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UnknownNameError, UsageError, unknown
from gantl_zoo.networks.fast import Gated, init_weights
from gantl_zoo.networks.perceptual import PerceptualDistance
from gantl_zoo.networks.pretrained import find

WIDTHS = {16: 2, 32: 1, 64: 1, 128: 0.5}  # channels of a decoder's map by its side, as multiples of the width


class Decoder(nn.Sequential):
    """Maps features (N, K, 8, 8) to images (N, C, side, side): blocks that double the map, a convolution."""

    def __init__(self, inputs: int, width: int, channels: int, side: int) -> None:
        layers: OrderedDict[str, nn.Module] = OrderedDict()
        for reached in (s for s in WIDTHS if s <= side):
            outputs = max(1, int(WIDTHS[reached] * width))
            conv = nn.Conv2d(inputs, 2 * outputs, 3, padding=1, bias=False)
            layers[f"up{reached}"] = nn.Sequential(nn.Upsample(scale_factor=2.0), conv, Gated(outputs, 0))
            inputs = outputs
        last = nn.Conv2d(inputs, channels, 3, padding=1, bias=False)
        super().__init__(OrderedDict(layers, last=last, tanh=nn.Tanh()))
        self.apply(init_weights)


class Decoders(nn.Module):
    """The reconstruction loss: of the whole image, of one quarter, and of the second branch's image if any.

    The reconstructions have half the image's side, but 128×128 at most.
    """

    def __init__(self, image_shape: tuple[int, int, int], width: int, second: bool, loss: str) -> None:
        super().__init__()
        self.difference = Difference(loss)
        channels, image_size, _ = image_shape
        self.side = min(image_size // 2, max(WIDTHS))
        self.whole = Decoder(8 * width, width, channels, self.side)
        self.quarter = Decoder(4 * width, width, channels, self.side)
        self.second = Decoder(4 * width, width, channels, self.side) if second else None

    def forward(self, images: Tensor, last: Tensor, before: Tensor, second: Tensor | None) -> Tensor:
        """The loss of images (N, C, H, W).

        `last` are their maps (N, 8·width, 8, 8), `before` those of the block before (N, 4·width, 16, 16), and
        `second` those of the second branch (N, 4·width, 8, 8).
        """
        chosen = torch.randint(4, (len(images),), device=images.device)
        images = images.detach().float()
        whole = pooled(images, self.side)
        quarter = pooled(quarters(images, chosen), self.side)
        loss = self.difference(self.whole(last), whole)
        loss = loss + self.difference(self.quarter(quarters(before, chosen)), quarter)
        return loss if self.second is None else loss + self.difference(self.second(second), whole)


def pooled(images: Tensor, side: int) -> Tensor:
    """Images (N, C, H, W) averaged to (N, C, side, side)."""
    factor = images.shape[-1] // side
    return functional.avg_pool2d(images, factor) if factor > 1 else images


def quarters(maps: Tensor, chosen: Tensor) -> Tensor:
    """One quarter (N, K, h/2, w/2) of each map (N, K, h, w): number `chosen` (N,), from 0 to 3 by rows."""
    count, channels, height, width = maps.shape
    tiles = maps.reshape(count, channels, 2, height // 2, 2, width // 2)
    return tiles[torch.arange(count, device=maps.device), :, chosen // 2, :, chosen % 2]


class Difference:
    """The mean difference of reconstructions and images: "mse", or "pd_NAME" for a perceptual distance.

    The perceptual distance is averaged over the feature maps. NAME is a released classifier. It is loaded at
    the first call, so a model that is not trained further does not need it. It is frozen, and is not part of
    the discriminator's weights.
    """

    def __init__(self, loss: str) -> None:
        self.loss = loss
        self.distance: PerceptualDistance | None = None
        self.device: torch.device | None = None
        self.maps = 1

    def __call__(self, decoded: Tensor, images: Tensor) -> Tensor:
        if self.loss == "mse":
            return functional.mse_loss(decoded.float(), images)
        if self.distance is None or self.device != images.device:
            self.device = images.device
            self.distance = perceptual(self.loss.removeprefix("pd_"), self.device)
            with torch.no_grad():
                self.maps = len(self.distance.levels(images[:1]))
        return self.distance(decoded, images).float().mean() / self.maps


def perceptual(name: str, device: torch.device) -> PerceptualDistance:
    """The perceptual distance of a released classifier. Raises `UnknownNameError` or `UsageError`."""
    if name not in registry.models:
        problem = unknown("released classifier", name, registry.models.names())
        raise UnknownNameError(f"fast: reconstruction: {problem}")
    backbone = find(name, "fast: reconstruction:").load()
    return PerceptualDistance(backbone.to(device).requires_grad_(False), name)


def check_loss(loss: str) -> None:
    """Raise `UsageError` unless `loss` is "none" or one that `Difference` takes."""
    if loss not in ("none", "mse") and not (loss.startswith("pd_") and loss != "pd_"):
        raise UsageError(f"fast: reconstruction must be mse, none or pd_NAME of a classifier, not {loss!r}")
