"""Give a GAN a discriminator of random weights: a new one, or the one that an imported model lacks."""

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

GIVEN = ("image_size", "channels", "num_classes", "latent_dim")  # follow from the generator's images


def with_discriminator(gan: GAN, name: str, config: Mapping[str, Any], seed: int, note: str) -> GAN:
    """A copy with a new discriminator, initialised from `seed`.

    The match report in the copy's `about` lists all its tensors as fresh, with the `note`, so each of them is
    trained, whatever a strategy freezes. Raises `UsageError`.
    """
    with seeded(seed):
        new = gan.with_discriminator(name, **config)
    fresh = dict.fromkeys(new.discriminator.state_dict(), note)
    report: dict[str, Any] = {"reused": [], "adapted": {}, "fresh": fresh, "dropped": []}
    fitted = {**gan.about.get("fitted", {}), "discriminator": report}
    return replace(new, about={**new.about, "fitted": fitted})


def completed(gan: GAN, seed: int) -> GAN:
    """The GAN itself if it has a discriminator, else a copy with a fresh one of the generator's family.

    It is the discriminator with the generator's name, or "dcgan" if there is none, with the generator's
    arguments, such as the width, if it takes them. Raises `UsageError` if it can't be built for the images.
    """
    if gan.discriminator is not None:
        return gan
    name, config = gan.parts["generator"]["name"], gan.parts["generator"]["config"]
    if isinstance(gan.generator, Grown):
        name, config = inner_arguments("generator", config)
    critic = name if name in registry.discriminators else "dcgan"
    takes = registry.discriminators.takes(critic)[0]
    own = {key: value for key, value in config.items() if key in takes and key not in GIVEN}
    try:
        return with_discriminator(gan, critic, own, seed, "the source has no discriminator")
    except UsageError as error:
        raise UsageError(
            f"{gan.name} has no discriminator, and {critic!r} can't be a fresh one for it ({error}): name "
            "another with --discriminator, or use --strategy projected"
        ) from error
