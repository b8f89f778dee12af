"""`Classifier`: a trained backbone and what is known about it. The article's second half.

N images, C channels, H, W image size, L classes. Images are float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo import card, registry, weights
from gantl_zoo.errors import WeightsError
from gantl_zoo.gan import ABOUT, describe, requirements, resting
from gantl_zoo.rebuild import rebuild


@dataclass
class Classifier:
    """A backbone with its lineage, training and metrics, as in `config.json`."""

    backbone: Any
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    folder: Path | None = None  # where it was loaded from

    @property
    def channels(self) -> int:
        return int(self.backbone.channels)

    @property
    def num_classes(self) -> int:
        return int(self.backbone.num_classes)

    @property
    def classes(self) -> list[str]:
        """The classes' names, in the order of the logits."""
        return list(self.about.get("training", {}).get("classes") or map(str, range(self.num_classes)))

    @property
    def lineage(self) -> dict[str, Any]:
        """Where this model comes from: base model, strategy, data, seed; its ancestors inside."""
        return dict(self.about.get("lineage", {}))

    def __call__(self, images: Tensor) -> Tensor:
        """Logits (N, L) of images (N, C, H, W), in eval mode and without gradients."""
        with resting(self.backbone), torch.no_grad():
            logits: Tensor = self.backbone(images)
        return logits

    def config(self, dtype: str = "float32") -> dict[str, Any]:
        """The `config.json` that describes this model."""
        return {
            "format": weights.FORMAT,
            "kind": "backbone",
            "name": self.name,
            "dtype": dtype,
            "backbone": describe(**self.parts["backbone"]),
            "num_classes": self.num_classes,
            "requires": requirements(self.parts),
            "lineage": self.about.get("lineage", {}),
            "training": self.about.get("training", {}),
            "metrics": self.about.get("metrics", []),
            "license": self.about.get("license", ""),
        }

    def save(
        self, folder: str | Path, *, dtype: str = "float32", max_shard_size: int | str = weights.SHARD
    ) -> Path:
        """Write the model folder, all or nothing; `dtype="float16"` halves it. Returns its path.

        A network above `max_shard_size` ("5GB", or bytes) is split over several files.
        """
        config = self.config(dtype)
        networks, readme = {"model": self.backbone}, card.render(config, card.text_in(folder))
        return weights.write_folder(folder, config, networks, readme, max_shard_size)


def build_classifier(
    backbone: str, config: Mapping[str, Any] | None = None, *, name: str = "unnamed"
) -> Classifier:
    """A new classifier from a registered backbone (`timm:` ones start pre-trained unless told not to)."""
    full = registry.backbones.configure(backbone, **(config or {}))
    network = registry.backbones.build(backbone, **full)
    full = getattr(network, "config", full)  # where a part of the arguments comes with the weights
    return Classifier(network.eval(), {"backbone": {"name": backbone, "config": full}}, name=name)


def load_classifier(folder: str | Path) -> Classifier:
    """The classifier of a model folder, float32, in eval mode. Raises `WeightsError`."""
    config = weights.read_config(folder)
    if config["kind"] != "backbone":
        raise WeightsError(f"{folder} holds a {config['kind']}, not a backbone")
    network = rebuild(folder, "backbones", "backbone", config, file="model")
    told, has = config.get("num_classes"), int(network.num_classes)
    if told is not None and told != has:
        raise WeightsError(f"{folder}: config.json tells {told} classes, but its backbone has {has}")
    about = {key: config[key] for key in ABOUT if key in config}
    name = str(config.get("name") or Path(folder).name)
    return Classifier(network, {"backbone": config["backbone"]}, about, name, Path(folder))
