"""The format `r3gan`: snapshots of the official R3GAN implementation.

A snapshot is a pickle of `{"G", "D", "G_ema", …}`. The networks in it wrap those of the package `R3GAN`, so
all names begin with `Model.`. Sizes come from the tensors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gantl_zoo.convert.formats import ImportedNetworks
from gantl_zoo.convert.low_pass import check_filter
from gantl_zoo.convert.snapshot import networks_of, other_format
from gantl_zoo.convert.tree import state_dict
from gantl_zoo.errors import WeightsError
from gantl_zoo.networks.r3_blocks import EXPANSION
from gantl_zoo.storage.untrusted import printable

BLOCK = {
    "LinearLayer1.Layer.weight": "conv1.weight",
    "NonLinearity1.Bias": "conv1.bias",
    "LinearLayer2.Layer.weight": "conv2.weight",
    "NonLinearity2.Bias": "conv2.bias",
    "LinearLayer3.Layer.weight": "conv3.weight",
}
OTHERS = {
    "Basis": "basis",
    "Basis.weight": "basis.weight",
    "LinearLayer.weight": "linear.weight",
    "LinearLayer.Layer.weight": "conv.weight",
}
LAYER = re.compile(r"MainLayers\.(\d+)\.Layers\.(\d+)\.(.+)")
KERNEL = "Resampler.Kernel"

PREFIX = "Model."  # of all names in a snapshot


class R3GAN:
    """Snapshots of R3GAN, `network-snapshot-*.pkl`. The generator is `G_ema`."""

    terms = "the R3GAN project states no licence for its own snapshots"

    def read(self, tree: Any) -> ImportedNetworks:
        """The averaged generator and the discriminator. Raises `WeightsError`."""
        generator, discriminator = networks_of(tree, "R3GAN")
        config, weights = network("generator", state_dict(generator))
        part, part_weights = None, dict[str, Tensor]()
        if discriminator is not None:
            own, part_weights = network("discriminator", state_dict(discriminator))
            part = {"name": "r3", "config": own}
        return ImportedNetworks(
            {"name": "r3", "config": config},
            weights,
            part,
            part_weights,
            latent_dim=config["latent_dim"],
            classes=config["num_classes"],
            notes=("the generator is G_ema, the one with averaged weights",),
        )


def network(part: str, tensors: Mapping[str, Tensor]) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """The builder arguments and weights of a pickled generator or discriminator. Raises `WeightsError`."""
    inner = {name.removeprefix(PREFIX): tensor for name, tensor in tensors.items()}
    return settings(part, inner), renamed(part, inner)


def our_name(part: str, name: str, stages: int) -> str:
    """Our name of an official tensor of a generator or discriminator with this number of stages.

    "" for the resampling kernels, which are constants. Raises `WeightsError` for other names.
    """
    generator = part == "generator"
    if name == "EmbeddingLayer.weight":
        return f"blocks.{0 if generator else stages}.classes.weight"
    if name == ("AggregationLayer" if generator else "ExtractionLayer") + ".Layer.weight":
        return f"blocks.{stages if generator else 0}.weight"
    if not (match := LAYER.fullmatch(name)):
        raise WeightsError(f"{printable(name)} is not a tensor of an R3GAN {part}")
    first = int(generator)  # the layer before a stage's blocks; the discriminator's is after them
    place, layer, rest = int(match[1]) + 1 - first, int(match[2]) - first, match[3]
    if rest in BLOCK:
        return f"blocks.{place}.blocks.{layer}.{BLOCK[rest]}"
    if rest not in OTHERS and rest != KERNEL:
        raise WeightsError(f"{printable(name)} is not a tensor of an R3GAN {part}")
    return f"blocks.{place}.{OTHERS[rest]}" if rest in OTHERS else ""


def renamed(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Official tensors of a generator or discriminator under our names. Raises `WeightsError`."""
    stages, ours = count_stages(tensors), dict[str, Tensor]()
    for name, tensor in tensors.items():
        if not (key := our_name(part, name, stages)):
            check_filter(name, tensor)
            continue
        ours[key] = tensor.T.contiguous() if name == "EmbeddingLayer.weight" else tensor
    if part == "generator" and "EmbeddingLayer.weight" in tensors:  # one layer for both inputs: divide it
        noise = noise_size(tensors)
        weight = ours["blocks.0.linear.weight"]
        ours["blocks.0.linear.weight"] = weight[:, :noise].contiguous()
        ours["blocks.0.class_linear.weight"] = weight[:, noise:].contiguous()
    return ours


def settings(part: str, tensors: Mapping[str, Tensor]) -> dict[str, Any]:
    """The builder arguments of the network `r3` that has these official tensors. Raises `WeightsError`."""
    blocks, widths, groups = stage_lists(part, tensors)
    to_image = ("AggregationLayer" if part == "generator" else "ExtractionLayer") + ".Layer.weight"
    classes = size(tensors, "EmbeddingLayer.weight", 1) if "EmbeddingLayer.weight" in tensors else 0
    config = {
        "image_size": 4 << (len(widths) - 1),
        "channels": size(tensors, to_image, 0 if part == "generator" else 1),
        "widths": widths,
        "blocks": blocks,
        "group_width": common_group(widths, groups),
        "num_classes": classes,
    }
    if part == "generator":
        config["latent_dim"] = noise_size(tensors)
    check_embedding(part, tensors, config)
    return config


def stage_lists(part: str, tensors: Mapping[str, Tensor]) -> tuple[list[int], list[int], list[int]]:
    """The number of blocks, the width and the channels of a group of each stage, from 4×4 on."""
    depths: dict[int, list[tuple[int, int]]] = {stage: [] for stage in range(count_stages(tensors))}
    for name, tensor in tensors.items():
        match = LAYER.fullmatch(name)
        if match and match[3] == "LinearLayer2.Layer.weight":
            if tensor.shape[2:] != (3, 3):
                raise WeightsError(f"{name} {tuple(tensor.shape)} is not a 3×3 convolution of an R3GAN block")
            width = size(tensors, name.replace("LinearLayer2", "LinearLayer1"), 1)
            if len(tensor) != EXPANSION * width:
                raise WeightsError(
                    f"{name} has {len(tensor)} channels, not {EXPANSION} times the {width} of its stage"
                )
            depths[int(match[1])].append((width, tensor.shape[1]))
    if any(len(set(stage)) != 1 for stage in depths.values()):
        raise WeightsError("not an R3GAN network: each of its stages must have blocks of one width and group")
    stages = [depths[stage] for stage in sorted(depths, reverse=part == "discriminator")]
    widths, groups = zip(*(stage[0] for stage in stages), strict=True)
    return [len(stage) for stage in stages], list(widths), list(groups)


def common_group(widths: list[int], groups: list[int]) -> int:
    """The number whose greatest common divisors with twice the widths are the channels of the groups."""
    group = math.lcm(*groups)
    if [math.gcd(2 * width, group) for width in widths] != groups:
        raise WeightsError(f"groups of {groups} channels at widths {widths} do not have one group_width")
    return group


def count_stages(tensors: Mapping[str, Tensor]) -> int:
    """The number of resolutions of a network. Raises `WeightsError` below two."""
    stages = {int(match[1]) for name in tensors if (match := LAYER.fullmatch(name))}
    if stages != set(range(len(stages))) or len(stages) < 2:
        hint = other_format(tensors)
        raise WeightsError(f"not an R3GAN network: MainLayers.0, MainLayers.1, … are missing{hint}")
    return len(stages)


def noise_size(tensors: Mapping[str, Tensor]) -> int:
    """The size of the latent vector: the generator's first inputs without the embedding."""
    embedding = size(tensors, "EmbeddingLayer.weight", 0) if "EmbeddingLayer.weight" in tensors else 0
    return size(tensors, "MainLayers.0.Layers.0.LinearLayer.weight", 1) - embedding


def check_embedding(part: str, tensors: Mapping[str, Tensor], config: Mapping[str, Any]) -> None:
    """Raise `WeightsError` unless the embedding of a class has the size that `r3` has."""
    if not config["num_classes"]:
        return
    embedding = size(tensors, "EmbeddingLayer.weight", 0)
    expected = config["latent_dim"] if part == "generator" else config["widths"][0]
    if embedding != expected:
        what = "the latent vector" if part == "generator" else "the width at 4×4"
        raise WeightsError(
            f"the class embedding of this R3GAN {part} has {embedding} numbers; r3 supports only the size of "
            f"{what}, {expected}"
        )


def size(tensors: Mapping[str, Tensor], name: str, axis: int) -> int:
    """One size of a tensor. Raises `WeightsError` if the tensor or its axis is missing."""
    if name not in tensors or tensors[name].dim() <= axis:
        raise WeightsError(f"not an R3GAN network: {name} is missing or not a matrix")
    return int(tensors[name].shape[axis])
