"""`GAN`: a generator, its discriminator and what is known about them. Images from seeds; folders.

N images, C channels, H, W image size, Z latent size. Images are float32 in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo import card, registry, weights
from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.rebuild import rebuild

# One chunk size for all: convolutions may round differently for another batch size, and the image of a
# seed must not depend on how many others were asked for.
CHUNK = 16
ABOUT = ("lineage", "training", "metrics", "license")


def latents(seeds: Sequence[int], latent_dim: int) -> Tensor:
    """Standard normal noise (N, Z); row i depends on seed i alone."""
    rows = [torch.randn(latent_dim, generator=torch.Generator().manual_seed(seed)) for seed in seeds]
    return torch.stack(rows) if rows else torch.empty(0, latent_dim)


@dataclass
class GAN:
    """A generator (the averaged one) and, where it is at hand, its discriminator.

    `parts` holds `{"generator": {"name", "config"}, "discriminator": …}`; `about` holds lineage, training
    and metrics; both as in `config.json`.
    """

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
        return int(self.generator.latent_dim)

    @property
    def lineage(self) -> dict[str, Any]:
        """Where this model comes from: base model, strategy, data, seed; its ancestors inside."""
        return dict(self.about.get("lineage", {}))

    @torch.no_grad()
    def generate(
        self,
        n: int = 1,
        *,
        seed: int = 0,
        seeds: Sequence[int] | None = None,
        truncation: float = 1.0,
        labels: Sequence[int] | None = None,
    ) -> Tensor:
        """Images (n, C, H, W) of the seeds `seed`, `seed` + 1, … or of `seeds`, whatever the batch.

        `truncation` below 1 draws latents nearer to the mean: fewer surprises, less variety. Raises
        `UsageError` for negative numbers, and for labels on a model without classes.
        """
        if n < 0 or seed < 0 or truncation <= 0:
            raise UsageError(
                f"generate needs n and seed >= 0 and truncation > 0, not {n}, {seed}, {truncation}"
            )
        if labels is not None and not self.generator.num_classes:
            raise UsageError(f"{self.name} knows no classes, so labels= has no meaning for it")
        noise = latents(range(seed, seed + n) if seeds is None else seeds, self.latent_dim) * truncation
        return self.decode(noise, None if labels is None else torch.as_tensor(labels))

    @torch.no_grad()
    def decode(self, noise: Tensor, labels: Tensor | None = None) -> Tensor:
        """Images (N, C, H, W) of latents (N, Z), in chunks of one fixed size."""
        device = next(self.generator.parameters()).device
        was_training = self.generator.training
        self.generator.eval()
        images = torch.empty(len(noise), *self.image_shape)
        for start in range(0, len(noise), CHUNK):
            chunk = noise[start : start + CHUNK]
            padded = torch.cat([chunk, chunk.new_zeros(CHUNK - len(chunk), chunk.shape[1])])
            known = None
            if labels is not None:
                known = nn.functional.pad(labels[start : start + CHUNK], (0, CHUNK - len(chunk))).to(device)
            made = self.generator(padded.to(device), known)  # (CHUNK, C, H, W)
            images[start : start + CHUNK] = made[: len(chunk)].float().cpu()
        self.generator.train(was_training)
        return images

    def config(self, dtype: str = "float32") -> dict[str, Any]:
        """The `config.json` that describes this model."""
        channels, height, width = self.image_shape
        kept = {part: describe(**said) for part, said in self.parts.items()}
        return {
            "format": weights.FORMAT,
            "kind": "gan",
            "name": self.name,
            "dtype": dtype,
            **kept,
            "image": {"channels": channels, "height": height, "width": width},
            "latent_dim": self.latent_dim,
            "num_classes": int(self.generator.num_classes),
            "requires": requirements(self.parts),
            "lineage": self.about.get("lineage", {}),
            "training": self.about.get("training", {}),
            "metrics": self.about.get("metrics", []),
            "license": self.about.get("license", ""),
        }

    def save(
        self, folder: str | Path, *, dtype: str = "float32", max_shard_size: int | str = weights.SHARD
    ) -> Path:
        """Write the model folder, all or nothing; `dtype="float16"` halves it. Returns its path.

        A network above `max_shard_size` ("5GB", or bytes) is split over several files.
        """
        networks = {part: getattr(self, part) for part in self.parts}
        config = self.config(dtype)
        readme = card.render(config, card.text_in(folder))
        return weights.write_folder(folder, config, networks, readme, max_shard_size)


def describe(name: str, config: Mapping[str, Any]) -> dict[str, Any]:
    """A network as folders keep it: without the arguments that only fetch starting weights."""
    return {"name": name, "config": {k: v for k, v in config.items() if k not in registry.INITIALISERS}}


def requirements(parts: Mapping[str, Mapping[str, Any]]) -> dict[str, str]:
    """The plug-ins, with versions, without which these networks can't be built."""
    entries = [registry.REGISTRIES[f"{kind}s"].info(part["name"]) for kind, part in parts.items()]
    bodies = [part["config"].get("backbone") for part in parts.values()]
    entries += [registry.backbones.info(body) for body in bodies if isinstance(body, str)]
    return registry.requirements(*entries)


def build_gan(
    generator: str,
    discriminator: str | None = None,
    *,
    generator_config: Mapping[str, Any] | None = None,
    discriminator_config: Mapping[str, Any] | None = None,
    name: str = "unnamed",
) -> GAN:
    """A new GAN with random weights. Without `discriminator` the one of the generator's name is taken.

    The discriminator gets the generator's image size and channels unless `discriminator_config` says so.
    """
    if discriminator is None:
        discriminator = generator if generator in registry.discriminators else "dcgan"
    made = registry.generators.configure(generator, **(generator_config or {}))
    network = registry.generators.build(generator, **made)
    channels, height, _ = network.image_shape
    wanted = {"image_size": height, "channels": channels} | dict(discriminator_config or {})
    judged = registry.discriminators.configure(discriminator, **wanted)
    rival = registry.discriminators.build(discriminator, **judged)
    parts = {
        "generator": {"name": generator, "config": made},
        "discriminator": {"name": discriminator, "config": judged},
    }
    return GAN(network.eval(), rival.eval(), parts, name=name)


def load_gan(folder: str | Path, *, discriminator: bool = True) -> GAN:
    """The GAN of a model folder, float32, in eval mode. Raises `WeightsError`.

    `discriminator=False` neither builds nor reads it.
    """
    config = weights.read_config(folder)
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
    about = {key: config[key] for key in ABOUT if key in config}
    name = str(config.get("name") or Path(folder).name)
    return GAN(networks["generator"], networks.get("discriminator"), parts, about, name, Path(folder))


def check_shapes(folder: str | Path, config: Mapping[str, Any], networks: Mapping[str, Any]) -> None:
    """What `config` tells of images, latents and classes is what its networks have, or `WeightsError`."""
    generator = networks["generator"]
    image = tuple(config.get("image", {}).get(side) for side in ("channels", "height", "width"))
    told = {"image": image if "image" in config else None}
    told |= {key: config.get(key) for key in ("latent_dim", "num_classes")}
    has: dict[str, Any] = {"image": tuple(generator.image_shape)}
    has |= {"latent_dim": int(generator.latent_dim), "num_classes": int(generator.num_classes)}
    wrong = [key for key, value in told.items() if value is not None and value != has[key]]
    for key in wrong:
        raise WeightsError(f"{folder}: config.json tells {key} {told[key]}, but its generator has {has[key]}")
    sees = getattr(networks.get("discriminator"), "image_shape", None)
    if sees is not None and tuple(sees) != has["image"]:
        raise WeightsError(
            f"{folder}: its discriminator is for images {tuple(sees)}, its generator makes {has['image']}"
        )
