"""`Classifier`: a backbone with its metadata; build one, or load it from a folder.

N images, C channels, H, W image size, L classes. Images are floats in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.base import Model, check_arguments, metadata_from
from gantl_zoo.networks.base import evaluating
from gantl_zoo.networks.contract import check_built
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.storage.schema import read_config


@dataclass(eq=False, repr=False)
class Classifier(Model):
    """A backbone with its lineage, training and metrics, as in `config.json`."""

    kind = "backbone"

    backbone: Any
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    folder: Path | None = None  # where it was loaded from

    @property
    def channels(self) -> int:
        """The number of channels C of its input images."""
        return int(self.backbone.channels)

    @property
    def num_classes(self) -> int:
        """The number of classes L."""
        return int(self.backbone.num_classes)

    @property
    def main(self) -> nn.Module:
        """The network that computes the logits: the backbone."""
        network: nn.Module = self.backbone
        return network

    @torch.no_grad()
    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, L) of images (N, C, H, W), in eval mode and without gradients.

        They are float32 on the CPU, whatever the backbone's dtype and device. Raises `UsageError` for images
        of another shape or dtype.
        """
        if not images.is_floating_point() or images.ndim != 4:
            raise UsageError(
                f"{self.name} needs images (N, {self.channels}, H, W), floats in [-1, 1], not a tensor "
                f"{tuple(images.shape)} of {images.dtype}"
            )
        logits: Tensor = evaluating(self.main)(images.to(self.device, self.dtype))
        return logits.float().cpu()

    def summary(self) -> list[str]:
        return [f"{self.channels} channel(s)", f"{self.num_classes} classes"]

    def networks(self) -> dict[str, nn.Module]:
        return {"model": self.backbone}


def build_classifier(
    backbone: str, config: Mapping[str, Any] | None = None, *, name: str = "unnamed"
) -> Classifier:
    """Build a classifier from a registered backbone; `timm:` backbones are pretrained by default.

    Raises `UnknownNameError`, `UsageError` for arguments that the backbone doesn't have, and `PluginError` if
    it breaks a rule of `gantl_zoo.networks.contract`.
    """
    full = registry.backbones.configure(backbone, **(config or {}))
    network = registry.backbones.build(backbone, **full)
    check_built("backbones", backbone, network)
    full = getattr(network, "config", full)  # some arguments may come with the weights
    parts = {"backbone": {"name": backbone, "config": full}}
    check_arguments(parts)
    return Classifier(network.eval(), parts, name=name)


def load_classifier(folder: str | Path) -> Classifier:
    """The classifier of a model folder, float32, in eval mode. Raises `WeightsError`."""
    config = read_config(folder)
    if config["kind"] != "backbone":
        raise WeightsError(f"{folder} holds a {config['kind']}, not a backbone")
    network = rebuild(folder, "backbones", "backbone", config, file="model")
    stated, actual = config.get("num_classes"), int(network.num_classes)
    if stated is not None and stated != actual:
        raise WeightsError(f"{folder}: config.json states {stated} classes, but its backbone has {actual}")
    return Classifier(network, {"backbone": config["backbone"]}, **metadata_from(config, folder))
