"""`FrozenFeatures`: the inputs of a classifier's last block, computed once if all other blocks are frozen.

A linear probe then trains on stored features: after the first pass over the images an epoch costs almost
nothing.

N images, V views, L classes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.data import ImageData, to_float
from gantl_zoo.data.memory import free_memory
from gantl_zoo.networks.base import blocks, evaluating
from gantl_zoo.strategy.base import Plan
from gantl_zoo.training.engine import Engine

PART = 100  # images per forward pass
SHARE = 4  # the features may take a quarter of the free memory


class FrozenFeatures:
    """The features of images before the last block of `backbone`, whose other blocks don't change."""

    def __init__(self, backbone: nn.Module, engine: Engine) -> None:
        self.backbone, self.engine, self.head = backbone, engine, blocks(backbone)[-1]
        self.kept: list[tuple[ImageData, Tensor]] = []  # data sets whose logits were computed

    def views(self, data: ImageData, flip: bool) -> Tensor:
        """Features (N, V, …) of the images and, with `flip`, of their mirror images."""
        return torch.cat([self.of(part, flip) for part in parts(data)])

    def logits(self, data: ImageData) -> Tensor:
        """Logits (N, L) of the images, in eval mode. Their features are computed at the first call."""
        features = next((kept for known, kept in self.kept if known is data), None)
        if features is None:
            features = self.views(data, flip=False)
            self.kept.append((data, features))
        head = evaluating(self.head)
        with torch.inference_mode(), self.engine.autocast():
            logits: Tensor = head(features[:, 0])
        return logits.float().cpu()

    @torch.no_grad()
    def of(self, pixels: Tensor, flip: bool) -> Tensor:
        """Features (n, V, …) of pixels (n, C, H, W), uint8."""
        images = to_float(pixels.to(self.engine.device))
        images = images.contiguous(memory_format=self.engine.layout)
        shown = [images, images.flip(3)] if flip else [images]
        return torch.stack([before_head(self.backbone, one, self.engine)[0].float() for one in shown], 1)


def frozen_features(
    backbone: nn.Module, plan: Plan, data: ImageData, views: int, engine: Engine
) -> FrozenFeatures | None:
    """The frozen features of a plan that trains only the last block; None for any other plan.

    None also for a backbone whose last block does not compute the logits, and if the features of `data` would
    take much of the free memory.
    """
    head = {id(p) for p in blocks(backbone)[-1].parameters()}
    trained = [p for groups in plan.groups.values() for group in groups for p in group.parameters]
    if plan.modules or not trained or any(id(p) not in head for p in trained):
        return None
    with torch.no_grad():
        images = to_float(data.images[:2].to(engine.device))
        features, logits = before_head(backbone, images, engine)
        if features is None or features.shape[0] != len(images):
            return None
        with engine.autocast():
            same = torch.equal(evaluating(blocks(backbone)[-1])(features), logits)
    if not same or views * len(data) * features[0].numel() * 4 * SHARE > free_memory():
        return None
    return FrozenFeatures(backbone, engine)


def before_head(backbone: nn.Module, images: Tensor, engine: Engine) -> tuple[Any, Tensor]:
    """The input of the last block (None if it is not called once, with one tensor), and the logits."""
    network, inputs = evaluating(backbone), list[Any]()
    hook = blocks(network)[-1].register_forward_pre_hook(lambda module, given: inputs.append(given))
    try:
        with engine.autocast():
            logits = network(images)
    finally:
        hook.remove()
    single = len(inputs) == 1 and len(inputs[0]) == 1 and isinstance(inputs[0][0], Tensor)
    return (inputs[0][0] if single else None), logits


def parts(data: ImageData) -> Any:
    """The pixels of the images, in parts of (n, C, H, W)."""
    return (data.images[index] for index in torch.arange(len(data)).split(PART))  # type: ignore[no-untyped-call]
