"""`GAN`: a generator, its discriminator and what is known about them. Images from seeds; folders.

N images, C channels, H, W image size, Z latent size, L classes. Images are float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.model.base import Model, check_arguments, metadata_from
from gantl_zoo.model.sampling import CHUNK, check_count, drawn_classes, labels_of, latents, scale, seeds_of
from gantl_zoo.networks.base import call, evaluating, num_classes_of
from gantl_zoo.networks.rebuild import rebuild
from gantl_zoo.storage.schema import read_config


@dataclass(eq=False, repr=False)
class GAN(Model):
    """A generator (the averaged one) and, where it is at hand, its discriminator."""

    kind = "gan"

    generator: Any
    discriminator: Any
    parts: dict[str, dict[str, Any]]
    about: dict[str, Any] = field(default_factory=dict)
    name: str = "unnamed"
    folder: Path | None = None  # where it was loaded from

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.generator.image_shape
        return channels, height, width

    @property
    def latent_dim(self) -> int:
        """The size Z of a latent."""
        return int(self.generator.latent_dim)

    @property
    def num_classes(self) -> int:
        """How many classes it can be asked for; 0 if it makes images of any kind."""
        return num_classes_of(self.generator)

    @property
    def main(self) -> nn.Module:
        """The network that answers: the generator."""
        network: nn.Module = self.generator
        return network

    @torch.no_grad()
    def generate(
        self,
        n: int | None = None,
        *,
        seed: int | None = None,
        seeds: Iterable[int] | None = None,
        truncation: float = 1.0,
        labels: int | Iterable[int] | None = None,
    ) -> Tensor:
        """Images (n, C, H, W) of the seeds `seed`, `seed` + 1, … or of `seeds`, whatever the batch; without
        them one of seed 0. Float32 on the CPU, whatever the generator's dtype and device.

        `truncation` below 1 draws latents nearer to the mean: fewer surprises, less variety. `labels` are the
        images' classes, or one class for all, for a class-conditional model; without them each seed has one
        of its own. Numbers may be Python's, numpy's or torch's. Raises `UsageError` for negative numbers and
        for those that are not whole, for both ways to give seeds at once, and for unknown labels.
        """
        numbers = seeds_of(n, seed, seeds)
        check_count(len(numbers), self.image_shape)
        noise = latents(numbers, self.latent_dim) * scale(truncation)
        if labels is None and self.num_classes:
            labels = drawn_classes(numbers, self.num_classes)
        return self.decode(noise, labels)

    @torch.no_grad()
    def decode(self, noise: Tensor, labels: int | Iterable[int] | None = None) -> Tensor:
        """Images (N, C, H, W) of latents (N, Z), in chunks of one fixed size, float32 on the CPU.

        A class-conditional model needs labels (N,), or one for all; another one can't have any. Raises
        `UsageError`.
        """
        noise = self.check_latents(noise)
        known = self.check_labels(labels, len(noise))
        images = torch.empty(len(noise), *self.image_shape)
        network = evaluating(self.main)
        for start in range(0, len(noise), CHUNK):
            chunk = noise[start : start + CHUNK]
            gap = CHUNK - len(chunk)
            padded = torch.cat([chunk, chunk.new_zeros(gap, chunk.shape[1])])
            padded_labels = None
            if known is not None:
                padded_labels = nn.functional.pad(known[start : start + CHUNK], (0, gap)).to(self.device)
            made = call(network, padded.to(self.device, self.dtype), padded_labels)  # (CHUNK, C, H, W)
            images[start : start + CHUNK] = made[: len(chunk)].float().cpu()
        return images

    def check_latents(self, noise: Any) -> Tensor:
        """Latents (N, Z) of this model's size, or `UsageError`."""
        try:
            found = torch.as_tensor(noise)
        except (TypeError, ValueError, RuntimeError):
            raise UsageError(f"latents are a tensor of numbers, not {str(noise)[:80]!r}") from None
        size, numbers = self.latent_dim, found.dtype != torch.bool and not found.is_complex()
        if found.ndim != 2 or found.shape[1] != size or not numbers:
            raise UsageError(
                f"{self.name} needs latents (N, {size}), since its latent_dim is {size}, not a tensor "
                f"{tuple(found.shape)} of {found.dtype}"
            )
        return found

    def check_labels(self, labels: Any, count: int) -> Tensor | None:
        """The `count` labels (N,) of a model with classes, None for a model without; or `UsageError`."""
        if not self.num_classes:
            if labels is not None:
                raise UsageError(f"{self.name} knows no classes, so labels= has no meaning for it")
            return None
        found = None if labels is None else labels_of(labels, count)
        names = enumerate(self.classes)
        numbered = [name if name.startswith(str(i)) else f"{i} {name}" for i, name in names]
        there = f"{self.name} knows the {self.num_classes} classes {', '.join(numbered[:12])}"
        there += ", …" if len(numbered) > 12 else ""
        if found is None or len(found) != count:
            given = "none" if found is None else f"labels of shape {tuple(found.shape)}"
            raise UsageError(f"{there}; {count} image(s) need as many labels, not {given}")
        if wrong := [label for label in found.tolist() if not 0 <= label < self.num_classes]:
            raise UsageError(f"{there}; there is no class {wrong[0]}")
        return found

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
            f"discriminator {discriminator!r} knows {theirs} classes, generator {generator!r} {classes}; "
            "give both the same num_classes, or the discriminator none"
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

    `discriminator=False` neither builds nor reads it.
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
            f"{folder}: its discriminator knows {num_classes_of(discriminator)} classes, its generator "
            f"{has['num_classes']}"
        )
    expected = getattr(discriminator, "image_shape", None)
    if expected is not None and tuple(expected) != has["image"]:
        raise WeightsError(
            f"{folder}: its discriminator is for images {tuple(expected)}, its generator makes {has['image']}"
        )
