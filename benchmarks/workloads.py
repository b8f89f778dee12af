"""The benchmarks' workloads: three pairs of networks, and random images."""

from __future__ import annotations

import torch
from torch import Tensor

import gantl_zoo as gz

WORKLOADS = {
    "dcgan-28": {"generator": "dcgan", "image_size": 28, "channels": 1},
    "dcgan-64": {"generator": "dcgan", "image_size": 64, "channels": 3},
    "resnet-32": {"generator": "resnet", "image_size": 32, "channels": 3},
}
IMAGES = 2_048


def build(name: str) -> gz.GAN:
    """Build the networks of a workload with their default widths (64; 256 and 128 for resnet)."""
    config = dict(WORKLOADS[name])
    architecture = str(config.pop("generator"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return gz.build_gan(architecture, generator_config=config)


def images(name: str) -> Tensor:
    """Random images (N, C, H, W), uint8."""
    size, channels = (int(WORKLOADS[name][key]) for key in ("image_size", "channels"))
    return torch.randint(0, 256, (IMAGES, channels, size, size), dtype=torch.uint8)
