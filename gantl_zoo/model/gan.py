"""`GAN`: a generator, its discriminator and what is known about them, built anew or from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.base import check_arguments, metadata_from
from gantl_zoo.model.generate import Sampler
from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.storage.schema import read_config


@dataclass(eq=False, repr=False)
class GAN(Sampler):
    """A generator (the averaged one) and its discriminator, or None where it was not loaded."""

    kind = "gan"

    generator: Any
    discriminator: Any
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    folder: Path | None = None  # where it was loaded from

    def summary(self) -> list[str]:
        channels, height, width = self.image_shape
        classes = [f"{self.num_classes} classes"] if self.num_classes else []
        return [f"{channels}×{height}×{width}", f"latent {self.latent_dim}", *classes]

    def networks(self) -> dict[str, nn.Module]:
        return {part: getattr(self, part) for part in self.parts}

    def sizes(self) -> dict[str, Any]:
        channels, height, width = self.image_shape
        image = {"channels": channels, "height": height, "width": width}
        return {"image": image, "latent_dim": self.latent_dim}


def check_pair(networks: tuple[Any, Any], generator: str, discriminator: str) -> None:
    """Raises `UsageError` for two networks that are for different classes or images."""
    classes, theirs = map(num_classes_of, networks)
    if theirs not in (0, classes):
        raise UsageError(
            f"discriminator {discriminator!r} has {theirs} classes, generator {generator!r} has {classes}; "
            "give both the same num_classes, or none to the discriminator"
        )
    shape = tuple(networks[0].image_shape)
    if (expected := tuple(getattr(networks[1], "image_shape", shape))) != shape:
        raise UsageError(
            f"discriminator {discriminator!r} is for images {expected} (channels, height, width), generator "
            f"{generator!r} makes {shape}; leave image_size and channels out of discriminator_config"
        )


def build_gan(
    generator: str,
    discriminator: str | None = None,
    *,
    generator_config: Mapping[str, Any] | None = None,
    discriminator_config: Mapping[str, Any] | None = None,
    name: str = "unnamed",
) -> GAN:
    """A new GAN with random weights. Without `discriminator` the one of the generator's name is taken, or
    "dcgan" if there is none.

    The discriminator gets the generator's image size, channels and, if it takes any, classes, unless
    `discriminator_config` says otherwise. Raises `UsageError` if the two are for different classes
    or images, or if `config.json` can't hold their arguments.
    """
    if discriminator is None:
        discriminator = generator if generator in registry.discriminators else "dcgan"
    made = registry.generators.configure(generator, **(generator_config or {}))
    network = registry.generators.build(generator, **made)
    channels, height, _ = network.image_shape
    wanted = {"image_size": height, "channels": channels} | dict(discriminator_config or {})
    own = registry.discriminators.configure(discriminator, **wanted)
    classes = num_classes_of(network)
    if classes and "num_classes" in own and "num_classes" not in wanted:
        own["num_classes"] = classes
    critic = registry.discriminators.build(discriminator, **own)
    own = getattr(critic, "config", own)  # where a part of the arguments comes with the weights
    check_pair((network, critic), generator, discriminator)
    parts = {
        "generator": {"name": generator, "config": made},
        "discriminator": {"name": discriminator, "config": own},
    }
    check_arguments(parts)
    return GAN(network.eval(), critic.eval(), parts, name=name)


def load_gan(folder: str | Path, *, discriminator: bool = True) -> GAN:
    """The GAN of a model folder, float32, in eval mode. Raises `WeightsError`.

    `discriminator=False` neither builds nor reads the discriminator.
    """
    config = read_config(folder)
    if config["kind"] != "gan":
        raise WeightsError(f"{folder} holds a {config['kind']}, not a GAN; gantl-zoo classify uses backbones")
    parts = {part: config[part] for part in ("generator", "discriminator") if config.get(part)}
    if not discriminator:
        parts.pop("discriminator", None)
    networks: dict[str, Any] = {}
    for part in parts:  # what the generator makes is known before a discriminator is built for it
        wanted = networks["generator"].image_shape if networks else None
        networks[part] = rebuild(folder, f"{part}s", part, config, images=wanted)
        check_shapes(folder, config, networks)
    return GAN(networks["generator"], networks.get("discriminator"), parts, **metadata_from(config, folder))


def check_shapes(folder: str | Path, config: Mapping[str, Any], networks: Mapping[str, Any]) -> None:
    """Raises `WeightsError` unless the networks have the images, latents and classes of `config`."""
    generator = networks["generator"]
    image = tuple(config.get("image", {}).get(side) for side in ("channels", "height", "width"))
    says = {"image": image if "image" in config else None}
    says |= {key: config.get(key) for key in ("latent_dim", "num_classes")}
    has: dict[str, Any] = {"image": tuple(generator.image_shape)}
    has |= {"latent_dim": int(generator.latent_dim), "num_classes": num_classes_of(generator)}
    wrong = [key for key, value in says.items() if value is not None and value != has[key]]
    for key in wrong:
        raise WeightsError(f"{folder}: config.json tells {key} {says[key]}, but its generator has {has[key]}")
    discriminator = networks.get("discriminator")
    if num_classes_of(discriminator) not in (0, has["num_classes"]):
        raise WeightsError(
            f"{folder}: its discriminator has {num_classes_of(discriminator)} classes, its generator "
            f"has {has['num_classes']}"
        )
    expected = getattr(discriminator, "image_shape", None)
    if expected is not None and tuple(expected) != has["image"]:
        raise WeightsError(
            f"{folder}: its discriminator is for images {tuple(expected)}, its generator makes {has['image']}"
        )
