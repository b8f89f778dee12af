"""Weights of a StyleGAN2 (`stylegan2.py`) for other classes, so that it first behaves like its source.

N batch, Z latent size, W size of an intermediate latent or of the last map, L classes.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

if TYPE_CHECKING:
    from gantl_zoo.networks.stylegan2 import Mapping

Converted = tuple[Tensor, str] | None  # a tensor and a note; None: the usual rules apply
SAME = "the same initial embedding for each class"


def classes_of(mapping: Mapping) -> Tensor:
    """The normalised embeddings (L, W) of all classes."""
    return mapping.embedding(torch.arange(mapping.num_classes, device=mapping.fc0.weight.device)).detach()


def mapping_tensor(mapping: Mapping, key: str, source: Mapping | None) -> Converted:
    """The value of the tensor `key` of a mapping network.

    `source` is None if the source does not have that tensor.
    """
    if source is None:
        return new_tensor(mapping, key)
    if mapping.num_classes and source.num_classes:
        return None
    if key == "fc0.weight":
        return first_weight(mapping, source)
    if key != "fc0.bias" or mapping.num_classes:
        return None
    layer = source.fc0  # the embeddings become a part of the bias
    part = layer.weight.detach()[:, source.latent_dim :]
    moved = part @ classes_of(source).mean(0).to(part.dtype) * layer.weight_scale / layer.lr_multiplier
    return layer.bias.detach() + moved, f"mean of {source.num_classes} classes added"


def new_tensor(mapping: Mapping, key: str) -> Converted:
    """The initial value of a tensor; in a discriminator all classes have the same embedding."""
    value = mapping.get_parameter(key).detach()
    if key == "embed.weight" and not mapping.latent_dim:
        return value[:, :1].expand_as(value).clone(), SAME
    return value, "initial weights"


def first_weight(mapping: Mapping, source: Mapping) -> Converted:
    """The first layer's weight (W, Z), or (W, Z + W) with zeros for the embedding, at equal outputs."""
    weight = source.fc0.weight.detach()[:, : source.latent_dim]
    weight = weight * (source.fc0.weight_scale / mapping.fc0.weight_scale)
    if not mapping.num_classes:
        return weight, "without the embedding"
    zeros = weight.new_zeros(len(weight), mapping.fc0.in_features - weight.shape[1])
    return torch.cat([weight, zeros], 1), "zeros for the embedding"


def logit_tensor(network: Any, key: str, source: Any) -> Converted:
    """The weight or bias of a discriminator's last layer, if only one of it and its source has classes.

    The logit is that of a source without classes, or the mean logit of the source's classes.
    """
    if key not in ("b4.out.weight", "b4.out.bias") or bool(network.num_classes) == bool(source.num_classes):
        return None
    old = source.get_parameter(key).detach()  # (W, W) or (1, W); a bias is (W,) or (1,)
    if source.num_classes:
        mapped = label_vectors(source).mean(0)  # (W,)
        result = mapped.to(old.dtype) @ old / math.sqrt(len(mapped))
        return result.reshape(1, *old.shape[1:]), f"mean of {source.num_classes} classes"
    new, row = network.get_parameter(key).detach(), label_vectors(network)[0]  # (W, …), (W,)
    missing = old * math.sqrt(len(row)) - (row @ new.to(row.dtype)).reshape(old.shape)
    change = torch.outer(row, missing.flatten()) / row.square().sum()
    return new + change.reshape(new.shape).to(new.dtype), "the same logit for each class"


def label_vectors(network: Any) -> Tensor:
    """The factors (L, W) of the last layer's outputs for all classes."""
    labels = torch.arange(network.num_classes, device=network.b4.out.weight.device)
    vectors: Tensor = network.mapping(None, labels).detach()
    return vectors
