"""A small convolutional classifier: the article's, with BatchNorm and two convolutions per stage.

The stages follow VGG (Simonyan & Zisserman 2014, https://arxiv.org/abs/1409.1556, section 2.1). Global
average pooling replaces flattening, so the network takes images of any size.

N batch, C channels, H, W image size, D embedding size, L classes.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from gantl_zoo.errors import UsageError


def stage(inputs: int, outputs: int) -> nn.Sequential:
    """Two 3×3 convolutions, then 2×2 max pooling that rounds the size up, so 1×1 maps stay 1×1."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.Conv2d(outputs, outputs, 3, padding=1, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(),
        nn.MaxPool2d(2, ceil_mode=True),
    )


class CNN(nn.Module):
    """A CNN that maps images (N, C, H, W) in [-1, 1] to logits (N, L)."""

    def __init__(self, channels: int, num_classes: int, widths: Sequence[int], dropout: float) -> None:
        super().__init__()
        self.channels, self.num_classes, self.embedding_dim = channels, num_classes, widths[-1]
        self.blocks = nn.ModuleList(stage(i, o) for i, o in pairwise([channels, *widths]))
        self.blocks.append(nn.Sequential(nn.Dropout(dropout), nn.Linear(widths[-1], num_classes)))

    def pyramid(self, images: Tensor) -> list[Tensor]:
        """One feature map per stage: (N, widths[i], H/2ⁱ⁺¹, W/2ⁱ⁺¹)."""
        maps, features = [], images
        for block in self.blocks[:-1]:
            features = block(features)
            maps.append(features)
        return maps

    def embed(self, images: Tensor) -> Tensor:
        """Embeddings (N, D): the input of the classifier."""
        return self.pyramid(images)[-1].mean(dim=(2, 3))  # (N, D, H/8, W/8) -> (N, D)

    def classify(self, embedding: Tensor) -> Tensor:
        """Logits (N, L) of embeddings (N, D)."""
        logits: Tensor = self.blocks[-1](embedding)  # (N, D) -> (N, L)
        return logits

    def forward(self, images: Tensor) -> Tensor:
        return self.classify(self.embed(images))


def backbone(
    *,
    channels: int = 1,
    num_classes: int = 10,
    widths: Sequence[int] = (32, 64, 128),
    dropout: float = 0.3,
) -> CNN:
    """Small convolutional network with stages like those of VGG (Simonyan & Zisserman 2014).

    Paper: https://arxiv.org/abs/1409.1556, section 2.1.

    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `num_classes`: number of classes.
    `widths`: number of channels of each stage; the last one is the size of the embedding.
    `dropout`: probability of dropout before the last layer, from 0 to 1.
    """
    if not widths or min(widths) < 1:
        raise UsageError(f"cnn: widths must be one or more positive numbers, not {list(widths)}")
    return CNN(channels, num_classes, widths, dropout)
