"""Images of points whose class lies between two classes.

A class-conditional layer has a table with a row for each class. A mixture of classes gets the mixture of
their rows, in a copy of the network. In an intermediate latent space there is nothing to do: there, the class
is part of the latent.

N points, L classes.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.latent.space import Points
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.base import eval_view


def render(gan: GAN, points: Points, truncation: float = 1.0, **edit: Any) -> Tensor:
    """The images (N, C, H, W) of points, float32 on the CPU. `edit` is a direction and a strength."""
    inner, classes = points.space == "w", points.classes
    if inner:
        return gan.decode(points.latents, truncation=truncation, mapped=True, **edit)
    if not classes.shape[1]:
        return gan.decode(points.latents, truncation=truncation, **edit)
    if ((classes == 0) | (classes == 1)).all():
        return gan.decode(points.latents, classes.argmax(1), truncation=truncation, **edit)
    mixed = with_mixtures(gan, classes)
    return mixed.decode(points.latents, torch.arange(len(classes)), truncation=truncation, **edit)


@torch.no_grad()
def with_mixtures(gan: GAN, mixtures: Tensor) -> GAN:
    """A copy of the GAN, without a discriminator, with a class for each of the mixtures (N, L).

    Raises `UsageError` if the generator has no class tables.
    """
    network: Any = eval_view(gan.generator)
    tables = list(class_tables(network, gan.num_classes))
    if not tables:
        raise UsageError(
            f"the classes of {gan.name} can't be interpolated: its generator has no tables with a row for "
            "each class; choose one class for all seeds"
        )
    for layer, key in tables:
        table = getattr(layer, key)
        classes = table.movedim(class_dim(layer), 0)  # (L, ...)
        rows = (mixtures.to(table) @ classes.flatten(1)).view(-1, *classes.shape[1:])  # -> (N, ...)
        rows = rows.movedim(0, class_dim(layer)).contiguous()
        setattr(layer, key, nn.Parameter(rows, requires_grad=False))
    for module in network.modules():
        if getattr(module, "num_classes", 0) == gan.num_classes and "num_classes" in vars(module):
            module.num_classes = len(mixtures)
    return GAN(network, None, {"generator": gan.parts["generator"]}, name=gan.name)


def class_tables(network: nn.Module, count: int) -> Iterator[tuple[nn.Module, str]]:
    """The layers and the names of their parameters with a row or column for each of `count` classes."""
    for layer in network.modules():
        own = isinstance(layer, nn.Embedding) or hasattr(layer, "class_dim")
        own = own or (layer is not network and getattr(layer, "num_classes", 0) == count)
        for key, table in layer.named_parameters(recurse=False):
            if own and table.ndim >= 2 and table.shape[class_dim(layer)] == count:
                yield layer, key


def class_dim(layer: nn.Module) -> int:
    """The dimension of the classes in a layer's table: its `class_dim`, by default 0."""
    return int(getattr(layer, "class_dim", 0))
