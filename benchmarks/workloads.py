"""The benchmarks' workloads: pairs of networks, how they are trained, and random images."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

import gantl_zoo as gz

# The default widths: 64; 256 and 128 for resnet; 16 and 32 for fast. The narrow one has that of dcgan-faces.
WORKLOADS: dict[str, dict[str, Any]] = {
    "dcgan-28": {"generator": "dcgan", "image_size": 28, "channels": 1},
    "dcgan-64": {"generator": "dcgan", "image_size": 64, "channels": 3},
    "dcgan-64-narrow": {"generator": "dcgan", "image_size": 64, "channels": 3, "width": 32},
    "resnet-32": {"generator": "resnet", "image_size": 32, "channels": 3},
    "fast-64": {"generator": "fast", "image_size": 64, "channels": 3},
    "projected-64": {"generator": "fast", "image_size": 64, "channels": 3},
}
# Discriminators other than the generator's counterpart. Random weights are as fast as trained ones.
DISCRIMINATORS: dict[str, dict[str, Any]] = {
    "dcgan-64-narrow": {"discriminator_config": {"width": 32}},
    "projected-64": {
        "discriminator": "projected",
        "discriminator_config": {
            "backbone": "timm:tf_efficientnet_lite0",
            "pretrained": False,
            "resize": 128,
            "width": 16,
        },
    },
}
# Settings of `Recipe` that the networks are made for.
RECIPES: dict[str, dict[str, Any]] = {
    "fast-64": {"loss": "hinge", "aug": "diffaugment"},
    "projected-64": {"loss": "hinge", "aug": "diffaugment"},
}
IMAGES = 2_048


def build(name: str) -> gz.GAN:
    """Build the networks of a workload."""
    config = dict(WORKLOADS[name])
    architecture = str(config.pop("generator"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return gz.build_gan(architecture, generator_config=config, **DISCRIMINATORS.get(name, {}))


def images(name: str) -> Tensor:
    """Random images (N, C, H, W), uint8."""
    size, channels = (int(WORKLOADS[name][key]) for key in ("image_size", "channels"))
    return torch.randint(0, 256, (IMAGES, channels, size, size), dtype=torch.uint8)
