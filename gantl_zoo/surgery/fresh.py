"""Give a GAN without a discriminator a fresh one of its family, as imported models may need."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.networks.grown import inner_arguments
from gantl_zoo.networks.grown_networks import Grown
from gantl_zoo.seeding import seeded

NOTE = "the source has no discriminator"
GIVEN = ("image_size", "channels", "num_classes", "latent_dim")  # follow from the generator's images


def with_discriminator(gan: GAN, seed: int) -> GAN:
    """The GAN itself if it has a discriminator, else a copy with a fresh one, initialised from `seed`.

    It is the discriminator with the generator's name, or "dcgan" if there is none, for the generator's images
    and classes, and with the generator's arguments, such as the width, if it takes them. The match report in
    the copy's `about` lists its tensors as fresh, so each of them is trained. Raises `UsageError`.
    """
    if gan.discriminator is not None:
        return gan
    name, config = gan.parts["generator"]["name"], gan.parts["generator"]["config"]
    if isinstance(gan.generator, Grown):
        name, config = inner_arguments("generator", config)
    critic = name if name in registry.discriminators else "dcgan"
    takes = registry.discriminators.takes(critic)[0]
    own = {key: value for key, value in config.items() if key in takes and key not in GIVEN}
    shape = {"image_size": gan.image_shape[1], "channels": gan.image_shape[0], "num_classes": gan.num_classes}
    own |= {key: value for key, value in shape.items() if key in takes}
    report: dict[str, Any] = {"reused": [], "adapted": {}, "fresh": {}, "dropped": []}
    try:
        config = registry.discriminators.configure(critic, **own)
        with seeded(seed):
            network = registry.discriminators.build(critic, **config)
    except UsageError as error:
        raise UsageError(
            f"{gan.name} has no discriminator, and {critic!r} can't be a fresh one for it ({error}): use "
            "--strategy projected"
        ) from error
    report["fresh"] = dict.fromkeys(network.state_dict(), NOTE)
    fitted = {**gan.about.get("fitted", {}), "discriminator": report}
    parts = {**gan.parts, "discriminator": {"name": critic, "config": config}}
    return replace(gan, discriminator=network.eval(), parts=parts, about={**gan.about, "fitted": fitted})
