"""A new discriminator for a GAN: the one that was asked for, or one of its family if it has none."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.grown import inner_arguments
from gantl_zoo.networks.grown_networks import Grown
from gantl_zoo.seeding import seeded

MISSING, REPLACED = "the source has no discriminator", "a new discriminator was asked for"
GIVEN = ("image_size", "channels", "num_classes", "latent_dim")  # follow from the generator's images


def with_discriminator(
    gan: GAN, seed: int, name: str | None = None, config: Mapping[str, Any] | None = None
) -> GAN:
    """A copy with the new discriminator `name`, initialised from `seed`; the GAN itself if it needs none.

    By default a GAN without a discriminator gets the one with the generator's name, or "dcgan" if there is
    none, with the generator's arguments, such as the width, if it takes them. The match report in the copy's
    `about` lists its tensors as fresh, so each of them is trained. Raises `UsageError`.
    """
    if name is None and gan.discriminator is not None:
        return gan
    note = MISSING if gan.discriminator is None else REPLACED
    chosen, arguments = (name, dict(config or {})) if name else counterpart(gan)
    try:
        with seeded(seed):
            new = gan.with_discriminator(chosen, **arguments)
    except UsageError as error:
        if name:
            raise
        raise UsageError(
            f"{gan.name} has no discriminator, and {chosen!r} can't be a fresh one for it ({error}): use "
            "--strategy projected, or --discriminator NAME"
        ) from error
    report: dict[str, Any] = {"reused": [], "adapted": {}, "fresh": {}, "dropped": []}
    report["fresh"] = dict.fromkeys(new.discriminator.state_dict(), note)
    fitted = {**gan.about.get("fitted", {}), "discriminator": report}
    return replace(new, about={**gan.about, "fitted": fitted})


def counterpart(gan: GAN) -> tuple[str, dict[str, Any]]:
    """The name and the arguments of the discriminator of a generator's family."""
    name, config = gan.parts["generator"]["name"], gan.parts["generator"]["config"]
    if isinstance(gan.generator, Grown):
        name, config = inner_arguments("generator", config)
    critic = name if name in registry.discriminators else "dcgan"
    takes = registry.discriminators.takes(critic)[0]
    return critic, {key: value for key, value in config.items() if key in takes and key not in GIVEN}
