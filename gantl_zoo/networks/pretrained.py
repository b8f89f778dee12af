"""Find a trained backbone for given images, and start from its weights."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.networks.rebuild import Bounded
from gantl_zoo.storage.folder import load_into
from gantl_zoo.storage.headers import look
from gantl_zoo.storage.schema import read_config


def start(name: str, config: dict[str, Any], weights: str) -> Any:
    """The backbone of the release or folder `weights`, if it is the one that was asked for."""
    folder = registry.release_folder(weights)
    found = read_config(folder)
    if found["kind"] != "backbone":
        raise WeightsError(f"{weights} holds a {found['kind']}; weights= needs a backbone, such as cnn-mnist")
    described = found["backbone"]
    asked = json.loads(json.dumps(config))  # as folders keep it: lists for tuples
    differing = {k: v for k, v in described["config"].items() if asked.get(k) != v}
    if described["name"] != name or differing:
        raise UsageError(f"{weights} is a {described['name']!r} backbone; to start from it pass {differing}")
    stored = look(f"{folder}/model.safetensors")
    with Bounded(stored):
        body = registry.backbones.build(name, **config)
    load_into(body, stored, found.get("dtype", "float32"), found.get("files"))
    return body


SMALL = 64  # the side up to which images are shown to a bundled classifier


BUNDLED = {1: "cnn-mnist", 3: "timm-mobilenetv3-cifar10"}  # by channels


USUAL = "timm:tf_efficientnet_lite0"  # Projected GAN's; fetched


def pretrained_config(
    strategy: str, backbone: str, shape: tuple[int, int, int], **config: Any
) -> dict[str, Any]:
    """The full arguments of a frozen `backbone` discriminator for images (C, H, W).

    `backbone` is a released classifier, its folder, or `timm:NAME`; "auto": a bundled one for small images,
    else Projected GAN's EfficientNet. Raises `UsageError` for a name without trained weights.
    """
    channels, side, _ = shape
    folder = None
    if backbone == "auto":
        backbone = BUNDLED.get(channels, USUAL) if side <= SMALL else USUAL
        folder = Path(registry.models.load(backbone)) if backbone != USUAL else None
    chosen: dict[str, Any] = {"backbone": backbone}
    if not backbone.startswith("timm:"):
        if backbone in registry.backbones:
            raise UsageError(
                f"{strategy}: backbone {backbone} is an architecture without weights; name a trained one "
                "(gantl-zoo list --kind models), its folder, or timm:NAME"
            )
        folder = folder or registry.release_folder(backbone)
        found = read_config(folder)
        if found["kind"] != "backbone":
            raise UsageError(
                f"{strategy}: {backbone} is a {found['kind']}; a classifier is needed, such as cnn-mnist"
            )
        described = found["backbone"]
        chosen = described["config"] | {"backbone": described["name"], "weights": str(folder)}
        if (sees := chosen.get("channels", channels)) != channels:
            if channels != 1:
                raise UsageError(
                    f"{strategy}: {backbone} sees {sees} channel(s), these images have {channels}"
                )
            chosen["sees"] = sees  # grey images, repeated
    needed = {"image_size": side, "channels": channels, "freeze": True}
    return registry.discriminators.configure("backbone", **chosen | needed | config)
