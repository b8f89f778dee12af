"""A network for images of another size: a network of the size before, with blocks added at the image's end.

Progressive growing (Karras et al. 2018, https://arxiv.org/abs/1710.10196, section 3) fades a new block in.
Here the last convolution of each added block starts at zero instead, so no image changes at first. For
smaller images nothing is added: they are resampled.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import check_sizes, num_classes_of
from gantl_zoo.networks.conditional import check_classes
from gantl_zoo.networks.grown_networks import (
    GrownDiscriminator,
    GrownGenerator,
    GrownMappedGenerator,
    GrownSelfSupervisedDiscriminator,
)
from gantl_zoo.networks.mapping import MappedGenerator

WIDTH = 32  # channels of the added blocks, if the inner network has no argument `width`
MOST = 3  # times the side of an image, that a block may enlarge it
PASSED = ("channels", "latent_dim", "num_classes")  # arguments that are passed to the inner network


def sides_between(start: int, end: int) -> list[list[int]]:
    """The image sizes of the blocks that lead from `start` to `end`: one list, or none for smaller images.

    Each block doubles the size, but the last may enlarge by another factor, up to 2.8.
    """
    if end <= start:
        return []
    count = max(1, round(math.log2(end / start)))
    return [[*(start << i for i in range(1, count)), end]]


def inner_arguments(role: str, config: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """Name and complete arguments of the inner network, from those of the builder of `grown`.

    `role` is "generator" or "discriminator".
    """
    own = {role, f"{role}_config", "image_size", "sides", *PASSED}
    further = {key: value for key, value in config.items() if key not in own}
    nested = config.get(f"{role}_config")
    if nested is not None and further:
        raise UsageError(f"grown: pass {', '.join(sorted(further))} in {role}_config")
    given = dict(further if nested is None else nested)
    source = registry.REGISTRIES[f"{role}s"]
    takes = source.configure(config[role], **given)
    passed = {key: config[key] for key in PASSED if key in takes and key not in given}
    passed = {key: value for key, value in passed.items() if value is not None}
    return config[role], source.configure(config[role], **given | passed)


def parts_of(role: str, config: Mapping[str, Any]) -> tuple[Any, int, Sequence[Sequence[int]], int]:
    """The inner network, the image size, the sides and the width of the added blocks. Raises `UsageError`."""
    check_classes("grown", config["num_classes"])
    name, arguments = inner_arguments(role, config)
    inner = registry.REGISTRIES[f"{role}s"].build(name, **arguments)
    stated = {"channels": inner.image_shape[0], "latent_dim": getattr(inner, "latent_dim", None)}
    stated["num_classes"] = num_classes_of(inner)
    for key, value in stated.items():
        if config.get(key, value) not in (None, value):
            raise UsageError(f"grown: {key} of the {role} {name!r} is {value}, not {config[key]}")
    start, image_size, sides = inner.image_shape[1], config["image_size"], config["sides"]
    check_sizes("grown", image_size=image_size)
    if sides is None:
        sides = sides_between(start, image_size)
    every = [start, *itertools.chain(*sides)]
    if any(after <= before for before, after in pairwise(every)) or [] in sides:
        raise UsageError(
            f"grown: sides must rise from the {start} pixels of the {role} {name!r}, not {sides}"
        )
    if image_size > every[-1] or any(after > MOST * before for before, after in pairwise(every)):
        raise UsageError(
            f"grown: each of sides may be at most {MOST} times the one before, and image_size at most the "
            f"last one, not {sides} and {image_size}"
        )
    width = arguments.get("width")
    return inner, image_size, sides, width if isinstance(width, int) else WIDTH


def generator(
    *,
    generator: str = "dcgan",
    image_size: int = 56,
    channels: int = 1,
    latent_dim: int | None = None,
    num_classes: int = 0,
    sides: Sequence[Sequence[int]] | None = None,
    generator_config: Mapping[str, Any] | None = None,
    **further: Any,
) -> GrownGenerator:
    """Generator with blocks added at the image's end (after Karras et al. 2018).

    Its first images are the resampled ones of the inner network. `transfer` builds it for images of another
    size. Paper: https://arxiv.org/abs/1710.10196, section 3.

    `generator`: name of the inner network, such as dcgan.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `latent_dim`: size of the latent vector; None means the default of the inner network.
    `num_classes`: number of classes of a class-conditional generator; 0 means unconditional.
    `sides`: image sizes of the added blocks, with a list for each time that the network was grown; None means
        a block for each doubling of the image size.
    `generator_config`: arguments of the inner network, such as its image_size. Those whose names don't occur
        here can also be passed directly.
    """
    given = {"generator": generator, "image_size": image_size, "channels": channels, "sides": sides}
    given |= {"latent_dim": latent_dim, "num_classes": num_classes, "generator_config": generator_config}
    inner, image_size, sides, width = parts_of("generator", given | further)
    family = GrownMappedGenerator if isinstance(inner, MappedGenerator) else GrownGenerator
    return family(inner, image_size, sides, width)


def discriminator(
    *,
    discriminator: str = "dcgan",
    image_size: int = 56,
    channels: int = 1,
    num_classes: int = 0,
    sides: Sequence[Sequence[int]] | None = None,
    discriminator_config: Mapping[str, Any] | None = None,
    **further: Any,
) -> GrownDiscriminator:
    """Discriminator with blocks added at the image's end (after Karras et al. 2018).

    Its first logits are those of the inner network for resampled images. `transfer` builds it for images of
    another size. Paper: https://arxiv.org/abs/1710.10196, section 3.

    `discriminator`: name of the inner network, such as dcgan.
    `image_size`: height and width of the images in pixels.
    `channels`: number of channels of the images; 1 for grey, 3 for RGB.
    `num_classes`: number of classes of a class-conditional discriminator; 0 means unconditional.
    `sides`: image sizes of the added blocks, with a list for each time that the network was grown; None means
        a block for each doubling of the image size.
    `discriminator_config`: arguments of the inner network, such as its image_size. Those whose names don't
        occur here can also be passed directly.
    """
    given = {"discriminator": discriminator, "image_size": image_size, "channels": channels, "sides": sides}
    given |= {"num_classes": num_classes, "discriminator_config": discriminator_config}
    inner, image_size, sides, width = parts_of("discriminator", given | further)
    own_loss = hasattr(inner, "self_supervised")
    family = GrownSelfSupervisedDiscriminator if own_loss else GrownDiscriminator
    return family(inner, image_size, sides, width)
