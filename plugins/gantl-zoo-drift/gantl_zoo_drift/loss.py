"""`drift`: a loss that moves samples along a drifting field in the feature space of a pretrained network.

Deng et al. 2026, "Generative Modeling via Drifting", https://arxiv.org/abs/2602.04770.

N batch, C channels, H, W image size, K channels of a feature map, L its places.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from gantl_zoo import UsageError
from gantl_zoo.networks.frozen import FrozenPyramid
from gantl_zoo.networks.pretrained import default_backbone, find
from gantl_zoo.networks.projected_backbone import set_side, usual_side
from gantl_zoo_drift.field import drifting_loss

LEVELS = 4  # the coarsest feature maps of the backbone
IMAGE_SIDE = 8  # the image itself is a feature map of this side, for its colours


class Drift:
    """Drifting: moves samples to real images and away from each other, without a discriminator.

    Features are those of a pretrained network. Kernels over the batch give the direction, so a larger batch
    helps. Paper: Deng et al. 2026, https://arxiv.org/abs/2602.04770, section 3.

    `backbone`: trained classifier: name of a released one, folder of a saved one, or timm:NAME. "auto" means
        efficientnet-lite0-imagenet for colour images if the plug-in gantl-zoo-imagenet is installed, else a
        bundled classifier.
    `resize`: height and width to which images are resized for the backbone. None means 96 for smaller images
        if the backbone enlarges small images, else as the backbone does.
    `temperatures`: ranges of the kernels, in units of the mean distance between samples and real images.

    Unlike in the paper, the features are those of a classifier, without averages over patches, the batch is
    that of the run, and there are no classes. The weights of the positives and those of the negatives sum to
    1 each, and the fields of the temperatures are not normalized before they are added.
    """

    adversarial = False  # no discriminator is trained

    def __init__(
        self,
        *,
        backbone: str = "auto",
        resize: int | None = None,
        temperatures: Sequence[float] = (0.05, 0.2, 1.0),
    ) -> None:
        if not temperatures or min(temperatures) <= 0:
            raise UsageError(f"drift: temperatures must be positive numbers, not {list(temperatures)}")
        if backbone != "auto":
            find(backbone, "drift: backbone:")  # raises for an unknown name
        self.backbone, self.resize, self.temperatures = backbone, resize, tuple(temperatures)
        self.pyramid: FrozenPyramid | None = None  # loaded at the first use

    def networks(self, image_shape: tuple[int, int, int]) -> list[nn.Module]:
        """The frozen backbone for images of the shape (C, H, W). Raises `UsageError` if it can't be used."""
        if self.pyramid is None:
            name = default_backbone(image_shape) if self.backbone == "auto" else self.backbone
            trained = find(name, "drift: backbone:")
            network = trained.load().requires_grad_(False)
            if image_shape[0] not in (1, network.channels):
                raise UsageError(
                    f"drift: {name} takes {network.channels} channel(s), these images have {image_shape[0]}"
                )
            if side := self.resize or usual_side(trained.config, image_shape[1]):
                set_side(name, network, side)
            self.pyramid = FrozenPyramid(network)
        return [self.pyramid.backbone]

    def features(self, images: Tensor) -> list[Tensor]:
        """Features (N, L, K) in float32: each place of a map, and mean and deviation over its places."""
        _, colours, height, width = images.shape
        (network,) = self.networks((colours, height, width))
        assert self.pyramid is not None
        channels: Any = network.channels
        maps = self.pyramid(images.expand(-1, channels, -1, -1))[-LEVELS:]
        small = functional.adaptive_avg_pool2d(images, min(IMAGE_SIDE, images.shape[-1]))
        features = []
        for level in [small, *maps]:
            places = level.float().flatten(2).transpose(1, 2)  # (N, K, h, w) -> (N, L, K)
            deviation = (places.var(1, unbiased=False) + 1e-6).sqrt()  # (N, K)
            features += [places, torch.stack([places.mean(1), deviation], 1)]
        return features

    def generator(self, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
        """The drifting loss of `fake`, averaged over the sets of features; `critic` is not used."""
        generated = self.features(fake)
        with torch.no_grad():
            originals = self.features(real)
        with torch.autocast(fake.device.type, enabled=False):
            pairs = zip(generated, originals, strict=True)
            losses = [drifting_loss(one, other, self.temperatures) for one, other in pairs]
            return torch.stack(losses).mean()
