"""Trained networks by name: the one way to find a release, a folder or timm's model, and to load it.

C, H, W: channels, height and width of the images.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.storage.schema import read_config

SMALL = 64  # the side up to which images are shown to a bundled classifier
# by channels; with their owner, so that no folder in the working directory is taken for them
BUNDLED = {1: "gantl_zoo:cnn-mnist", 3: "gantl_zoo:timm-mobilenetv3-cifar10"}
USUAL = "timm:tf_efficientnet_lite0"  # Projected GAN's; fetched


@dataclass(frozen=True)
class Trained:
    """A trained network that was found, and not loaded yet."""

    asked: str  # the release, folder or `timm:NAME`
    part: str  # "backbone" or "discriminator"
    name: str  # of its builder
    config: dict[str, Any]  # its builder's arguments
    folder: Path | None = None  # None: the builder fetches the weights
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the folder's config.json

    def load(self) -> Any:
        """The network in eval mode. Raises `WeightsError`."""
        source = registry.REGISTRIES[f"{self.part}s"]
        if self.folder is None:
            return source.build(self.name, **self.config).eval()
        file = "model" if self.part == "backbone" else ""
        return rebuild(self.folder, source.kind, self.part, self.about, file=file)

    def check_same(self, name: str, config: Mapping[str, Any]) -> None:
        """Raises `UsageError` unless this is the builder `name` with the arguments `config`."""
        source = registry.REGISTRIES[f"{self.part}s"]
        same = source.info(self.name) == source.info(name)
        full = source.configure(self.name, **self.config)
        left_out = source.fetching(self.name, full)
        asked = json.loads(json.dumps(config))  # as folders keep it: lists for tuples
        own = {k: v for k, v in json.loads(json.dumps(full)).items() if k not in left_out}
        differing = {k: v for k, v in own.items() if asked.get(k) != v}
        if not same or differing:
            raise UsageError(
                f"{self.asked} is a {self.name!r} {self.part}; to start from it pass {differing or self.name}"
            )


def usual(shape: tuple[int, int, int]) -> str:
    """The classifier for images (C, H, W) where none is named: a bundled one for small images, else Projected
    GAN's EfficientNet.
    """
    return BUNDLED.get(shape[0], USUAL) if shape[1] <= SMALL else USUAL


def check_trained(name: str, what: str, lacks: str = "weights") -> None:
    """Raises `UsageError` for the name of an architecture, which has no trained weights."""
    if name in registry.backbones:
        raise UsageError(
            f"{what} {name} is an architecture without {lacks}; name a trained one (gantl-zoo list --kind "
            "models) or its folder, or timm:NAME"
        )


def find(
    asked: str, what: str, at: Callable[[str], Path] = registry.release_folder, **config: Any
) -> Trained:
    """The trained classifier of a release, a folder or `timm:NAME`.

    `at` gives the folder of a name; `config` are arguments for timm's builder. `what` begins the message of
    the `UsageError` for anything else.
    """
    if asked.startswith("timm:"):
        return Trained(asked, "backbone", asked, config)
    check_trained(asked, what)
    folder = at(asked)
    about = read_config(folder)
    if about["kind"] != "backbone":
        kind = "GAN" if about["kind"] == "gan" else about["kind"]
        raise UsageError(f"{what} {asked} is a {kind}; a classifier is needed, such as cnn-mnist")
    return Trained(asked, "backbone", about["backbone"]["name"], about["backbone"]["config"], folder, about)


def find_discriminator(asked: str, what: str) -> Trained:
    """The discriminator of the GAN in a release or folder. Raises `UsageError` if there is none."""
    folder = registry.release_folder(asked)
    about = read_config(folder)
    if not (found := about.get("discriminator")):
        raise UsageError(f"{what} {asked} is a {about['kind']} without a discriminator")
    return Trained(asked, "discriminator", found["name"], found["config"], folder, about)


def start(name: str, config: Mapping[str, Any], weights: str) -> Any:
    """The backbone of the release or folder `weights`, if its architecture is the one that was asked for.
    Raises `UsageError` if it is another one or a GAN.
    """
    found = find(weights, "weights:")
    found.check_same(name, config)
    return found.load()


def as_arguments(config: Mapping[str, Any], *, nested: bool = False) -> dict[str, Any]:
    """The arguments of a backbone's builder, but its channels, as the `backbone` discriminator takes them:
    as its own further arguments, or as `backbone_config` if it has arguments of the same names.
    """
    inner = {key: value for key, value in config.items() if key != "channels"}
    taken = registry.discriminators.configure("backbone")
    return {"backbone_config": inner} if nested or set(inner) & set(taken) else inner


def pretrained_config(
    strategy: str, backbone: str, shape: tuple[int, int, int], **config: Any
) -> dict[str, Any]:
    """The full arguments of a frozen `backbone` discriminator for images (C, H, W).

    `backbone` is a released classifier, its folder, or `timm:NAME`; "auto": the `usual` one. Raises
    `UsageError` for a name without trained weights.
    """
    channels, side, _ = shape
    found = find(usual(shape) if backbone == "auto" else backbone, f"{strategy}:")
    chosen = {"backbone": found.name} | as_arguments(found.config)
    chosen |= {} if found.folder is None else {"weights": str(found.folder)}
    if (sees := found.config.get("channels", channels)) != channels:
        if channels != 1:
            raise UsageError(f"{strategy}: {backbone} takes {sees} channel(s), these images have {channels}")
        chosen["sees"] = sees  # grey images, repeated
    needed = {"image_size": side, "channels": channels, "freeze": True}
    return registry.discriminators.configure("backbone", **chosen | needed | config)
