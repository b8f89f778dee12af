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
        rows = mixtures.to(table) @ table.flatten(1)  # (N, L), (L, ...) -> (N, ...)
        setattr(layer, key, nn.Parameter(rows.view(-1, *table.shape[1:]), requires_grad=False))
    for module in network.modules():
        if getattr(module, "num_classes", 0) == gan.num_classes and "num_classes" in vars(module):
            module.num_classes = len(mixtures)
    return GAN(network, None, {"generator": gan.parts["generator"]}, name=gan.name)


def class_tables(network: nn.Module, count: int) -> Iterator[tuple[nn.Module, str]]:
    """The layers and the names of their parameters that have a row for each of `count` classes."""
    for layer in network.modules():
        own = isinstance(layer, nn.Embedding) or (
            layer is not network and getattr(layer, "num_classes", 0) == count
        )
        for key, table in layer.named_parameters(recurse=False):
            if own and table.ndim >= 2 and len(table) == count:
                yield layer, key
