"""Build the inner discriminator of a discriminator that wraps another one (`packed`, `san`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import num_classes_of

OWN = ("channels", "image_size")  # arguments that the wrapper passes on


def inner_discriminator(
    family: str,
    name: str,
    channels: int,
    image_size: int,
    config: Mapping[str, Any] | None,
    further: Mapping[str, Any],
) -> Any:
    """Build the discriminator `name` for images of this shape, for the builder `family`.

    Its further arguments are `config` or, if that is None, `further`. Raises `UsageError` if both are given,
    or if the discriminator is class-conditional or takes other images.
    """
    if config is not None and further:
        raise UsageError(f"{family}: pass {', '.join(sorted(further))} in discriminator_config")
    given = dict(further if config is None else config)
    if twice := sorted(set(given) & set(OWN)):
        raise UsageError(f"{family}: pass {', '.join(twice)} beside discriminator_config, not in it")
    if given.get("num_classes"):
        raise UsageError(f"{family} is unconditional: leave num_classes={given['num_classes']} out")
    inner = registry.discriminators.build(name, **given, channels=channels, image_size=image_size)
    if num_classes_of(inner):
        raise UsageError(f"{family} is unconditional, but {name!r} has {num_classes_of(inner)} classes")
    if tuple(inner.image_shape) != (channels, image_size, image_size):
        raise UsageError(
            f"{family}: {name!r} takes images {tuple(inner.image_shape)} (channels, height, width), not "
            f"{(channels, image_size, image_size)}"
        )
    return inner
