"""Which network fits images of another size, channels or classes: a part's new name and arguments.

A network is not rebuilt for another image size, because its images would be lost. It becomes the inner
network of `grown`, which adds blocks at the image's end for larger images, and resamples smaller ones.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks, num_classes_of
from gantl_zoo.networks.grown import PASSED, inner_arguments, sides_between
from gantl_zoo.networks.grown_blocks import untrained
from gantl_zoo.networks.grown_networks import Grown

GROWN = "grown"


def fitted_part(
    role: str, part: Mapping[str, Any], network: Any, target: Mapping[str, int]
) -> dict[str, Any]:
    """`{"name", "config"}` of a network that fits the `target`, from those of the source's `network`.

    `target` has channels, image_size, latent_dim and num_classes. Raises `UsageError` if the builder lacks an
    argument for them.
    """
    kind, name = registry.REGISTRIES[f"{role}s"], part["name"]
    config = kind.configure(name, **part["config"])
    body, sides = network, list[list[int]]()
    if isinstance(network, Grown):
        name, config = inner_arguments(role, config)
        body, sides = network.inner, kept_sides(network, target["image_size"])
    check_arguments(role, name, config, body, target)
    changes = {key: target[key] for key in PASSED if key in config}
    if config.get("num_classes") and not num_classes_of(body):
        del changes["num_classes"]  # here it is the number of classes of a nested backbone
    side, start = target["image_size"], body.image_shape[1]
    if getattr(body, "any_size", False):
        return {"name": name, "config": config | changes | {"image_size": side}}
    sides += sides_between(max([start, *itertools.chain(*sides)]), side)
    if not sides and side == start:
        return {"name": name, "config": config | changes}
    own: dict[str, Any] = {role: name, f"{role}_config": config | changes, "image_size": side, "sides": sides}
    own |= {"channels": target["channels"], "num_classes": (config | changes).get("num_classes", 0)}
    own |= {"latent_dim": target["latent_dim"]} if role == "generator" else {}
    return {"name": GROWN, "config": kind.configure(GROWN, **own)}


def kept_sides(network: Grown, side: int) -> list[list[int]]:
    """The sizes of the added blocks that are kept for images of that side.

    The blocks that were added last are dropped if the images become as small as before they were added, and
    if all of these blocks still change nothing.
    """
    sides, left = list(network.sides), list(network.added)
    while sides and side < network.image_shape[1]:
        smaller = sides[-2][-1] if len(sides) > 1 else network.inner.image_shape[1]
        if side > smaller or not all(map(untrained, left[-len(sides[-1]) :])):
            break
        del left[-len(sides.pop()) :]
    return sides


def check_arguments(
    role: str, name: str, config: Mapping[str, Any], network: Any, target: Mapping[str, int]
) -> None:
    """Raise `UsageError` if the builder has no argument for a change of channels or classes."""
    if network.image_shape[0] != target["channels"] and "channels" not in config:
        raise UsageError(f"{role} {name!r} takes no channels, so it can't be fitted to other images")
    count = num_classes_of(network)
    differs = count != target["num_classes"] and (count or role == "generator")
    if differs and "num_classes" not in config:
        raise UsageError(
            f"{role} {name!r} takes no num_classes, so it can't be fitted to {target['num_classes']} classes"
        )


def size_note(role: str, before: Any, after: Any) -> str:
    """What another image size changes, in a sentence; "" if nothing changes."""
    old, new = before.image_shape[1], after.image_shape[1]
    if old == new or not any(isinstance(network, Grown) for network in (before, after)):
        return ""
    count = len(blocks(after)) - len(blocks(before))
    start = base_side(before, after)
    ends = (start, new) if role == "generator" else (new, start)
    verb = "upsampled" if ends[1] > ends[0] else "downsampled"
    images = f"images are {verb} from {ends[0]}×{ends[0]} to {ends[1]}×{ends[1]}"
    if start == new:
        images = f"images of {new}×{new} are those of the network before it was grown"
    if not count:
        return f"{images}; all blocks were kept"
    blocks_were = "one block was" if abs(count) == 1 else f"{abs(count)} blocks were"
    return f"{images}; {blocks_were} {'added' if count > 0 else 'dropped, which had not been trained'}"


def base_side(before: Any, after: Any) -> int:
    """The image size up to which both networks have the same blocks."""
    inner: Any = after.inner if isinstance(after, Grown) else after
    flat = [[*itertools.chain(*getattr(network, "sides", ()))] for network in (before, after)]
    common = [a for a, b in zip(*flat, strict=False) if a == b]
    side: int = common[-1] if common else inner.image_shape[1]
    return side
