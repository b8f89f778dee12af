"""`ModelInfo`: what is known about a model without building its networks. No torch.

C channels, H, W image size, Z latent size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

NETWORKS = ("generator", "discriminator", "backbone")


@dataclass(frozen=True)
class ModelInfo:
    """A model's name, sizes, origin and quality, as its `config.json` and its files state them."""

    name: str
    kind: str  # "gan", "backbone" for a classifier, or "adapter"
    architecture: dict[str, str]  # the registered name of each network: {"generator": "dcgan", …}
    image_shape: tuple[int, int, int] | None  # (C, H, W); of a classifier, the images it was trained on
    latent_dim: int | None  # Z; None for a classifier
    num_classes: int  # 0 for an unconditional GAN
    classes: tuple[str, ...]  # their names, or numbers if they have none
    license: str = ""  # an id such as "mit", or "" if none is stated
    description: str = ""  # one line
    parameters: int | None = None  # of all networks together
    bytes: int | None = None  # of the weights' files; None for a model that is not in a folder
    dtype: str = "float32"  # of the weights: in memory, or in the files
    owner: str = ""  # the package that brings a released model, else ""
    version: str = ""  # of that package
    folder: Path | None = None
    requires: dict[str, str] = field(default_factory=dict, repr=False)  # plug-ins and their versions
    lineage: dict[str, Any] = field(default_factory=dict, repr=False)
    training: dict[str, Any] = field(default_factory=dict, repr=False)
    metrics: list[dict[str, Any]] = field(default_factory=list, repr=False)

    @property
    def channels(self) -> int | None:
        """C, or None if the images are unknown."""
        return self.image_shape[0] if self.image_shape else None

    @property
    def conditional(self) -> bool:
        """Whether it is a class-conditional GAN."""
        return self.kind == "gan" and self.num_classes > 0

    def to_dict(self) -> dict[str, Any]:
        """All fields as values that JSON can hold."""
        values = {one.name: getattr(self, one.name) for one in fields(self)}
        shape, folder = self.image_shape, self.folder
        values |= {"image_shape": shape and list(shape), "classes": list(self.classes)}
        return values | {"folder": None if folder is None else str(folder)}


def from_config(config: Mapping[str, Any], **more: Any) -> ModelInfo:
    """What a checked `config.json` states; `more` are further fields."""
    lineage, training = dict(config.get("lineage", {})), dict(config.get("training", {}))
    count = int(config.get("num_classes", 0))
    facts: dict[str, Any] = {
        "name": str(config.get("name", "unnamed")),
        "kind": config["kind"],
        "architecture": {part: config[part]["name"] for part in NETWORKS if config.get(part)},
        "image_shape": image_shape(config),
        "latent_dim": config.get("latent_dim"),
        "num_classes": count,
        "classes": tuple(class_names(training.get("classes"), count)),
        "license": config.get("license", ""),
        "description": description(config),
        "dtype": config.get("dtype", "float32"),
        "requires": dict(config.get("requires", {})),
        "lineage": lineage,
        "training": training,
        "metrics": list(config.get("metrics", [])),
    }
    return ModelInfo(**facts | more)


def class_names(named: Any, count: int) -> list[str]:
    """The names of `count` classes in order, or their numbers if not all have a name."""
    names = list(named or ())
    return names if len(names) == count else list(map(str, range(count)))


def image_shape(config: Mapping[str, Any]) -> tuple[int, int, int] | None:
    """(C, H, W) of a GAN's images, or of those that a classifier was trained on; None if unknown."""
    if image := config.get("image"):
        return image["channels"], image["height"], image["width"]
    shape = config.get("lineage", {}).get("data", {}).get("shape")
    right = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int for side in shape)
    return (shape[0], shape[1], shape[2]) if right and config["kind"] == "backbone" else None


def description(config: Mapping[str, Any]) -> str:
    """One line: the kind of model, its images, its data, the model that it was transferred from."""
    shape, count, lineage = image_shape(config), config.get("num_classes"), config.get("lineage", {})
    images = f" of {'×'.join(map(str, shape))} images" if shape else ""
    if config["kind"] != "backbone":
        network = f"{(config.get('generator') or {}).get('name', 'unnamed')} GAN"
        what = f"{'class-conditional' if count else 'unconditional'} {network}{images}"
    else:
        network = f"{(config.get('backbone') or {}).get('name', 'unnamed')} classifier"
        what = f"{network}{images}, {count} classes"
    data, base = lineage.get("data", {}).get("name"), lineage.get("base_model")
    if config["kind"] == "adapter":
        what, base = f"adapter for {config['base']['model']}, {what}", None
    origin = [f"trained on {data}"] if data else []
    origin += [f"transferred from {base} with {lineage.get('strategy', 'full')}"] if base else []
    return ", ".join([what, *origin])
