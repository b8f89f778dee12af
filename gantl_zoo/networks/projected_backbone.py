"""The backbone of the `projected` discriminator: a released classifier, or an architecture with weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.networks.base import check_sizes, digest
from gantl_zoo.networks.feature_discriminator import starting_body
from gantl_zoo.networks.pretrained import default_backbone, find

ENLARGED = 96  # pixels; images of benchmarks/transfer-colour.md have this side for the backbone


def frozen_body(
    backbone: str,
    channels: int,
    config: Mapping[str, Any],
    sha256: str,
    weights: str | None,
    pretrained: bool,
) -> tuple[Any, dict[str, Any], bool]:
    """The backbone for images of `channels`, arguments that build it, and whether its weights are random."""
    if is_release(backbone):
        body, random = released(backbone, sha256), False
        kept: dict[str, Any] = {"sha256": digest(body.state_dict())}
    else:
        inner = dict(config)
        body, random = starting_body(backbone, inner, inner.pop("channels", channels), weights, pretrained)
        kept = {"backbone_config": architecture(getattr(body, "config", config), channels)}
    check_images(backbone, body, channels)
    return body, kept, random


def architecture(config: Mapping[str, Any], channels: int) -> dict[str, Any]:
    """The arguments of a backbone, without `channels` if they are those of the images."""
    return {key: value for key, value in config.items() if (key, value) != ("channels", channels)}


def is_release(name: str) -> bool:
    """Whether a name means a released model, and not a folder."""
    return name in registry.models and registry.folder_at(name) is None


def released(name: str, sha256: str) -> Any:
    """The backbone of a release. Raises `WeightsError` unless its weights have the hash `sha256` (or "")."""
    with torch.device("cpu"):  # also where only the shapes of a network are built
        backbone = find(name, "projected:").load()
    actual = digest(backbone.state_dict())
    if sha256 and actual != sha256:
        raise WeightsError(
            f"the weights of {name} have the hash {actual}, but this discriminator was trained with those of "
            f"{sha256}: install the version of its package that the folder requires, or load the model with "
            "discriminator=False"
        )
    return backbone


def check_images(name: str, backbone: Any, channels: int) -> None:
    """Raise `UsageError` unless the backbone takes images of that many channels, or grey ones repeated."""
    if channels not in (1, backbone.channels):
        raise UsageError(
            f"projected: {name} takes {backbone.channels} channel(s), these images have {channels}"
        )


def set_side(name: str, backbone: Any, side: int) -> None:
    """Let the backbone resize its images to `side`. Raises `UsageError` if it doesn't resize images."""
    if not hasattr(backbone, "resize"):
        raise UsageError(f"{name} takes images at their own size, so leave resize={side} out")
    check_sizes(name, resize=side)
    backbone.resize = side


def usual_side(config: Mapping[str, Any], side: int) -> int | None:
    """The side to which images are enlarged for a backbone that enlarges small ones, else None.

    `config` has the backbone's arguments. A step at 96 pixels took 0.7 of the time at 128.
    """
    return ENLARGED if config.get("resize") == "auto" and side < ENLARGED else None


def projected_config(
    strategy: str, backbone: str, shape: tuple[int, int, int], **config: Any
) -> dict[str, Any]:
    """Arguments of the `projected` discriminator for images (C, H, W).

    `backbone` is a released classifier, a folder, `timm:NAME`, or "auto" for `default_backbone`. Raises
    `UsageError` if it has no trained weights.
    """
    channels, side, _ = shape
    name = default_backbone(shape) if backbone == "auto" else backbone
    trained = find(name, f"{strategy}:")
    if config.get("resize") is None:
        config["resize"] = usual_side(trained.config, side)
    arguments: dict[str, Any] = {"backbone": name}
    if not is_release(name):
        arguments = {"backbone": trained.name, "backbone_config": trained.config}
        arguments |= {} if trained.folder is None else {"weights": str(trained.folder)}
    return arguments | {"image_size": side, "channels": channels} | config
