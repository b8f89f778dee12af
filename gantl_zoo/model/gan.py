"""`GAN`: a generator, its discriminator and their metadata; build one, or load it from a folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from torch import nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.adapter import Adapter, adapter_named, base_name, check_base, check_settings, difference
from gantl_zoo.model.base import check_arguments, metadata_from
from gantl_zoo.model.blend import Blend, blend_for
from gantl_zoo.model.generate import Sampler
from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.networks.contract import check_built
from gantl_zoo.networks.difference import TOLERANCE
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.storage.schema import read_config


@dataclass(eq=False, repr=False)
class GAN(Sampler):
    """A generator (of averaged weights, if training averages) and its discriminator, None if not loaded."""

    kind = "gan"

    generator: Any
    discriminator: Any
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    folder: Path | None = None  # where it was loaded from
    blend: Blend | None = None  # the base and the adapters that it was computed from

    def adapter(
        self, base: str | Path | GAN | None = None, *, rank: int | None = None, tolerance: float = TOLERANCE
    ) -> Adapter:
        """What a transfer changed in the generator, as an `Adapter` for `base`.

        `base` is by default the model that this one was fine-tuned from, by its lineage. Each tensor's
        difference is stored in its smallest form: low-rank factors, shifts of singular values, or dense. No
        form changes a tensor by more than `tolerance` of its norm, except factors of at most `rank`, which
        is lossy; `Adapter.error` is the largest error.

        Raises `UsageError` if the two generators differ in architecture or in nothing, or if the base is
        not the one in the lineage.
        """
        check_settings(rank, tolerance)
        if isinstance(base, GAN):
            return difference(self, base, base.name, rank=rank, tolerance=tolerance)
        source = GAN.from_pretrained(base or base_name(self), discriminator=False)
        if base is None:
            check_base(self, source)
        name = str(base or self.lineage["base_model"])
        return difference(self, source, name, rank=rank, tolerance=tolerance)

    def with_adapter(self, adapter: str | Path | Adapter, weight: float = 1.0) -> GAN:
        """A new GAN whose generator is this one plus `weight` times the adapter's difference.

        `adapter` is a folder, `user/repo[@revision]` on the Hub, or an `Adapter`. A further adapter for the
        same base adds its difference: `base.with_adapter("a", 0.7).with_adapter("b", 0.3)`. Weight 0 gives
        the base, 1 the fine-tuned generator. The discriminator is a copy of the base's.

        Raises `UsageError` for an adapter of another base or a weight that can't be used, `WeightsError` for
        a damaged adapter, `UnknownNameError`, `HubError`.
        """
        added = adapter_named(adapter)
        return blend_for(self, added).plus(added, weight).gan()

    def with_discriminator(self, name: str | None = None, **config: Any) -> GAN:
        """A GAN with the same generator and a new discriminator of random weights.

        `name` is a registered discriminator; by default the one with the generator's name, or "dcgan" if
        there is none. It gets the generator's image size, channels and, if it has that argument, number of
        classes, unless `config` sets them. Raises what `build_gan` raises.
        """
        generator = self.parts["generator"]["name"]
        name = name or (generator if generator in registry.discriminators else "dcgan")
        channels, height, _ = self.image_shape
        given = {"image_size": height, "channels": channels} | config
        own = registry.discriminators.configure(name, **given)
        if self.num_classes and "num_classes" in own and "num_classes" not in given:
            own["num_classes"] = self.num_classes
        critic = registry.discriminators.build(name, **own)
        check_built("discriminators", name, critic)
        own = getattr(critic, "config", own)  # some arguments may come with the weights
        check_pair((self.generator, critic), generator, name)
        parts = self.parts | {"discriminator": {"name": name, "config": own}}
        check_arguments(parts)
        return replace(self, discriminator=critic.eval(), parts=parts)

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


def is_fresh(gan: GAN) -> bool:
    """Whether the discriminator has no weights of the source that the GAN was fitted from, by its report."""
    report = gan.about.get("fitted", {}).get("discriminator")
    return report is not None and not report["reused"] and not report["adapted"]


def check_pair(networks: tuple[Any, Any], generator: str, discriminator: str) -> None:
    """Raise `UsageError` if a generator and a discriminator have different classes or image shapes."""
    classes, critic_classes = map(num_classes_of, networks)
    if critic_classes not in (0, classes):
        raise UsageError(
            f"discriminator {discriminator!r} has {critic_classes} classes, generator {generator!r} has "
            f"{classes}; give both the same num_classes, or none to the discriminator"
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
    """Build a GAN with random weights.

    The discriminator is that of `GAN.with_discriminator`. Raises `UsageError` if the networks have different
    classes or image shapes, or if `config.json` can't hold their arguments, and `PluginError` if a network
    breaks a rule of `gantl_zoo.networks.contract`.
    """
    config = registry.generators.configure(generator, **(generator_config or {}))
    network = registry.generators.build(generator, **config)
    check_built("generators", generator, network)
    parts = {"generator": {"name": generator, "config": config}}
    gan = GAN(network.eval(), None, parts, name=name)
    return gan.with_discriminator(discriminator, **(discriminator_config or {}))


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
    for part in parts:  # the generator first: its image shape checks the discriminator before that is built
        shape = networks["generator"].image_shape if networks else None
        networks[part] = rebuild(folder, f"{part}s", part, config, images=shape)
        check_shapes(folder, config, networks)
    return GAN(networks["generator"], networks.get("discriminator"), parts, **metadata_from(config, folder))


def check_shapes(folder: str | Path, config: Mapping[str, Any], networks: Mapping[str, Any]) -> None:
    """Raise `WeightsError` unless the networks have the image shape, latent size and classes of `config`."""
    generator = networks["generator"]
    image = tuple(config.get("image", {}).get(side) for side in ("channels", "height", "width"))
    stated = {"image": image if "image" in config else None}
    stated |= {key: config.get(key) for key in ("latent_dim", "num_classes")}
    actual: dict[str, Any] = {"image": tuple(generator.image_shape)}
    actual |= {"latent_dim": int(generator.latent_dim), "num_classes": num_classes_of(generator)}
    for key, value in stated.items():
        if value is not None and value != actual[key]:
            raise WeightsError(
                f"{folder}: config.json states {key} {value}, but its generator has {actual[key]}"
            )
    discriminator = networks.get("discriminator")
    if num_classes_of(discriminator) not in (0, actual["num_classes"]):
        raise WeightsError(
            f"{folder}: its discriminator has {num_classes_of(discriminator)} classes, its generator "
            f"has {actual['num_classes']}"
        )
    expected = getattr(discriminator, "image_shape", None)
    if expected is not None and tuple(expected) != actual["image"]:
        raise WeightsError(
            f"{folder}: its discriminator is for images {tuple(expected)}, its generator makes "
            f"{actual['image']}"
        )
