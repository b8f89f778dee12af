"""Find and load trained networks by name: a release, a folder or a timm model.

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

SMALL = 64  # pixels; larger images are for a classifier that has to be downloaded
# by channels; with the owner in the name, so that a folder in the working directory can't replace them
BUNDLED = {1: "gantl_zoo:cnn-mnist", 3: "gantl_zoo:timm-mobilenetv3-cifar10"}
FETCHED = "timm:tf_efficientnet_lite0"  # Projected GAN's; has to be downloaded
IMAGENET = (
    "gantl-zoo-imagenet:efficientnet-lite0-imagenet"  # the same network from the plug-in, at every size
)


@dataclass(frozen=True)
class Trained:
    """A trained network that exists, but is not loaded yet."""

    source: str  # the release, folder or `timm:NAME`
    part: str  # "backbone" or "discriminator"
    name: str  # of the builder
    config: dict[str, Any]  # arguments of the builder
    folder: Path | None = None  # None: the builder finds the weights
    about: Mapping[str, Any] = field(default_factory=dict, repr=False)  # the folder's config.json

    def load(self) -> Any:
        """Load the network in eval mode. Raises `WeightsError`."""
        kind = registry.REGISTRIES[f"{self.part}s"]
        if self.folder is None:
            return kind.build(self.name, **self.config).eval()
        file = "model" if self.part == "backbone" else ""
        return rebuild(self.folder, kind.kind, self.part, self.about, file=file)

    def check_same(self, name: str, config: Mapping[str, Any]) -> None:
        """Raise `UsageError` unless its builder is `name` and its arguments are `config`."""
        kind = registry.REGISTRIES[f"{self.part}s"]
        same = kind.info(self.name) == kind.info(name)
        full = kind.configure(self.name, **self.config)
        ignored = kind.fetching(self.name, full)
        requested = json.loads(json.dumps(config))  # as in config.json: lists instead of tuples
        own = {k: v for k, v in json.loads(json.dumps(full)).items() if k not in ignored}
        differing = {k: v for k, v in own.items() if requested.get(k) != v}
        if not same or differing:
            raise UsageError(
                f"{self.source} is a {self.name!r} {self.part}; to start from it, pass "
                f"{differing or self.name}"
            )


def default_backbone(shape: tuple[int, int, int]) -> str:
    """Name of the default classifier for images (C, H, W).

    For colour that is EfficientNet-Lite0 of the plug-in gantl-zoo-imagenet, if it is installed. Without it,
    and for grey images: a bundled classifier if they are small, else EfficientNet-Lite0, downloaded.
    """
    if shape[0] == 3 and IMAGENET in registry.models:
        return IMAGENET
    return BUNDLED.get(shape[0], FETCHED) if shape[1] <= SMALL else FETCHED


def check_trained(name: str, prefix: str, lacks: str = "weights") -> None:
    """Raise `UsageError` if `name` is an architecture, which has no trained weights."""
    if name in registry.backbones:
        raise UsageError(
            f"{prefix} {name} is an architecture without {lacks}; name a trained one (gantl-zoo list --kind "
            "models) or its folder, or timm:NAME"
        )


def find(
    name: str, prefix: str, folder_of: Callable[[str], Path] = registry.release_folder, /, **config: Any
) -> Trained:
    """Find the trained classifier of a release, a folder or `timm:NAME`.

    `folder_of` returns the folder of a name; `config` holds arguments of timm's builder. Raises `UsageError`,
    whose message begins with `prefix`, for anything else.
    """
    if (spelled := registry.backbones.spelled(name)).startswith("timm:"):
        return Trained(spelled, "backbone", spelled, config)
    check_trained(name, prefix)
    folder = folder_of(name)
    about = read_config(folder)
    if about["kind"] != "backbone":
        kind = "GAN" if about["kind"] == "gan" else about["kind"]
        raise UsageError(f"{prefix} {name} is a {kind}; a classifier is needed, such as cnn-mnist")
    return Trained(name, "backbone", about["backbone"]["name"], about["backbone"]["config"], folder, about)


def find_discriminator(name: str, prefix: str) -> Trained:
    """Find the discriminator of the GAN in a release or folder. Raises `UsageError` if there is none."""
    folder = registry.release_folder(name)
    about = read_config(folder)
    if not (part := about.get("discriminator")):
        raise UsageError(f"{prefix} {name} is a {about['kind']} without a discriminator")
    return Trained(name, "discriminator", part["name"], part["config"], folder, about)


def load_backbone(name: str, config: Mapping[str, Any], weights: str) -> Any:
    """Load the backbone of the release or folder `weights`.

    Raises `UsageError` unless its architecture is `name` with the arguments `config`.
    """
    trained = find(weights, "weights:")
    trained.check_same(name, config)
    return trained.load()


def as_arguments(config: Mapping[str, Any], *, nested: bool = False) -> dict[str, Any]:
    """Convert the arguments of a backbone's builder to arguments of the `backbone` discriminator.

    They go into `backbone_config` if `nested`, or if the discriminator has arguments of the same names.
    `channels` is left out.
    """
    inner = {key: value for key, value in config.items() if key != "channels"}
    own = registry.discriminators.configure("backbone")
    return {"backbone_config": inner} if nested or set(inner) & set(own) else inner


def pretrained_config(
    strategy: str, backbone: str, shape: tuple[int, int, int], **config: Any
) -> dict[str, Any]:
    """All arguments of a `backbone` discriminator with a frozen backbone for images (C, H, W).

    `backbone` is a released classifier, a folder, `timm:NAME`, or "auto" for `default_backbone`. Raises
    `UsageError` if it has no trained weights or takes images of another number of channels.
    """
    channels, side, _ = shape
    trained = find(default_backbone(shape) if backbone == "auto" else backbone, f"{strategy}:")
    arguments = {"backbone": trained.name} | as_arguments(trained.config)
    arguments |= {} if trained.folder is None else {"weights": str(trained.folder)}
    if (sees := trained.config.get("channels", channels)) != channels:
        if channels != 1:
            raise UsageError(f"{strategy}: {backbone} takes {sees} channel(s), these images have {channels}")
        arguments["sees"] = sees  # the channel of grey images is repeated
    fixed = {"image_size": side, "channels": channels, "freeze": True}
    return registry.discriminators.configure("backbone", **arguments | fixed | config)
