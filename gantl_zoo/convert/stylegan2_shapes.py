"""The settings of a StyleGAN2 network, from the names and shapes of its tensors.

The names are those of NVIDIA's PyTorch networks, such as `synthesis.b8.conv0.weight` or `b32.fromrgb.weight`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from gantl_zoo.convert.low_pass import check_filter
from gantl_zoo.convert.snapshot import other_format
from gantl_zoo.errors import WeightsError
from gantl_zoo.networks.stylegan2_filters import new_kernel

Tensors = Mapping[str, Tensor]


def generator_settings(tensors: Tensors) -> dict[str, Any]:
    """The builder arguments of the generator `stylegan2` that has these tensors. Raises `WeightsError`."""
    widths = {
        size: shape_of(tensors, f"synthesis.b{size}.conv1.weight")[0]
        for size in sizes(tensors, r"synthesis\.b(\d+)\.conv1\.weight")
    }
    for size in widths:
        if f"synthesis.b{size}.torgb.weight" not in tensors:
            raise WeightsError(
                f"it has no synthesis.b{size}.torgb.weight; the only supported architecture is 'skip'"
            )
    w_dim = shape_of(tensors, "synthesis.b4.conv1.affine.weight")[1]
    classes = shape_of(tensors, "mapping.embed.weight")[1] if "mapping.embed.weight" in tensors else 0
    return {
        "image_size": max(widths),
        "channels": shape_of(tensors, "synthesis.b4.torgb.weight")[0],
        "latent_dim": shape_of(tensors, "mapping.fc0.weight")[1] - (w_dim if classes else 0),
        "num_classes": classes,
        "w_dim": w_dim,
        "mapping_layers": layers(tensors),
        **channel_settings(widths),
    }


def discriminator_settings(tensors: Tensors) -> dict[str, Any]:
    """The builder arguments of the discriminator `stylegan2` with these tensors. Raises `WeightsError`."""
    widths = {
        size: shape_of(tensors, f"b{size}.conv0.weight")[0]
        for size in sizes(tensors, r"b(\d+)\.conv0\.weight")
    }
    last, inputs = shape_of(tensors, "b4.conv.weight")[:2]
    classes = shape_of(tensors, "mapping.embed.weight")[1] if "mapping.embed.weight" in tensors else 0
    settings = {
        "image_size": max(widths),
        "channels": shape_of(tensors, f"b{max(widths)}.fromrgb.weight")[1],
        "num_classes": classes,
        "mbstd_channels": inputs - last,
        **channel_settings(widths | {4: last}),
    }
    return settings | ({"mapping_layers": layers(tensors)} if classes else {})


def unsupported(tensors: Tensors) -> str:
    """Why `stylegan2` has no discriminator with these tensors; "" if it has one."""
    blocks = sizes(tensors, r"b(\d+)\.conv0\.weight")
    if not all(f"b{size}.skip.weight" in tensors for size in blocks):
        return "its blocks have no skip layers; the only supported architecture is 'resnet'"
    last, features = shape_of(tensors, "b4.conv.weight")[0], shape_of(tensors, "b4.out.weight")[0]
    if "mapping.embed.weight" in tensors and features != last:
        return f"it compares {features} features with the class, not its {last} channels at 4×4"
    return ""


def sizes(tensors: Tensors, pattern: str) -> list[int]:
    """The resolutions in the names that match. Raises `WeightsError` unless they double from 4 or 8 on."""
    sides = sorted(int(match[1]) for name in tensors if (match := re.fullmatch(pattern, name)))
    if not sides or sides != [sides[0] << step for step in range(len(sides))] or sides[0] not in (4, 8):
        shown = ", ".join(map(str, sides[:12])) or "none"
        hint = "" if sides else other_format(tensors)
        raise WeightsError(
            f"not a StyleGAN2 network: its blocks have the resolutions {shown}, not 4, 8, 16, …{hint}"
        )
    return sides


def layers(tensors: Tensors) -> int:
    """The number of layers of the mapping network."""
    return sum(re.fullmatch(r"mapping\.fc\d+\.weight", name) is not None for name in tensors)


def channel_settings(widths: Mapping[int, int]) -> dict[str, int]:
    """`channel_base` and `channel_max` of the channels at each resolution. Raises `WeightsError`."""
    base, most = max(size * width for size, width in widths.items()), max(widths.values())
    if {size: min(base // size, most) for size in widths} != dict(widths):
        table = ", ".join(f"{size}×{size}: {width}" for size, width in sorted(widths.items()))
        raise WeightsError(f"its channels ({table}) are not min(channel_base / size, channel_max)")
    return {"channel_base": base, "channel_max": most}


def shape_of(tensors: Tensors, name: str) -> tuple[int, ...]:
    """The shape of a tensor, padded with ones to two numbers. Raises `WeightsError` if it's missing."""
    if name not in tensors:
        raise WeightsError(f"not a StyleGAN2 network: {name} is missing")
    shape = tuple(tensors[name].shape)
    return shape + (1,) * (2 - len(shape))


def with_filters(tensors: Tensors) -> dict[str, Tensor]:
    """The tensors, and the low-pass filter of each layer and block that has one."""
    layer = r"((synthesis\.)?b\d+)\.(conv|conv0|conv1|skip|fromrgb)\.weight"
    matches = [match for name in tensors if (match := re.fullmatch(layer, name))]
    owners = {match[0].removesuffix(".weight") for match in matches}
    owners |= {match[1] for match in matches if match[1] != "b4"}  # the discriminator's last block has none
    return dict(tensors) | {f"{owner}.resample_filter": new_kernel() for owner in sorted(owners)}


def check_filters(tensors: Tensors) -> None:
    """Raise `WeightsError` if a resampling layer has another low-pass filter than [1, 3, 3, 1]."""
    for name, tensor in tensors.items():
        if name.endswith("resample_filter"):
            check_filter(name, tensor)
