"""`Job`: everything that a run's `config.json` keeps, and what a model says of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo import configs, data as data_room, weights
from gantl_zoo.arguments import given
from gantl_zoo.command import command_line
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.gan import GAN
from gantl_zoo.metrics.table import AUTO, named
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.transfer.adapt import fitted
from gantl_zoo.zoo import ancestor


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is trained from what, so that `--resume` needs nothing else."""

    verb: str  # "train" or "transfer"
    name: str  # the generator's name, or the source model's
    data: dict[str, Any]
    recipe: dict[str, Any]
    networks: dict[str, Any] = field(default_factory=dict)
    strategy: str = "full"
    strategy_config: dict[str, Any] = field(default_factory=dict)
    conditional: bool | None = None  # None: as the source is
    latent_dim: int | None = None  # of a transfer; None: the source's
    metrics: tuple[str, ...] = (AUTO,)
    samples: int = 5_000
    extractor: str = "auto"
    title: str = ""
    compare_scratch: bool = False

    def lineage(self, gan: GAN, images: ImageData) -> dict[str, Any]:
        """The ancestors of the model that this job makes of `gan`."""
        lineage: dict[str, Any] = {"data": images.about(), "seed": self.recipe["seed"]}
        if self.verb == "train":
            return lineage
        lineage |= {
            **ancestor(gan, self.name),
            "strategy": self.strategy,
            "strategy_config": self.strategy_config,
        }
        if "fitted" in gan.about:  # to images of another shape
            lineage["fitted"] = gan.about["fitted"]
        if gan.folder is not None:  # else the source exists in memory only
            lineage["base_sha256"] = weights.sha256(gan.folder / "generator.safetensors")
        return lineage | {"base_lineage": gan.lineage}

    def training(self) -> dict[str, Any]:
        """The recipe, and the command that repeats it."""
        return {**self.recipe, "command": command_line(self.verb, self.name, asdict(self))}


def classes_for(conditional: bool | None, known: int, images: ImageData, name: str) -> int:
    """How many classes a model shall know that knows `known` now: 0, or as many as its images have.

    Raises `DataError` if these have no labels.
    """
    if not (known if conditional is None else conditional):
        return 0
    if images.labels is None or not images.classes:
        wish = f"{name} knows {known} classes" if conditional is None else "--conditional needs classes"
        without = "--unconditional" if known else "leave --conditional out"
        raise DataError(
            f"{wish}, but {images.name} has no labels: sort its images into a folder a class, or {without}"
        )
    return len(images.classes)


def fitted_to(
    images: ImageData, source: GAN, conditional: bool | None, seed: int, latent_dim: int | None = None
) -> GAN:
    """The source for images of this shape and, as `conditional` says, of these classes."""
    count = classes_for(conditional, source.num_classes, images, source.name)
    return fitted(source, images.shape, seed, images.classes if count else (), latent_dim)


def common(
    data: str | Path | ImageData, image_size: int | None, channels: int | None, settings: Mapping[str, Any]
) -> tuple[dict[str, Any], ImageData]:
    """The parts of a `Job` that training and transfer share, and the images."""
    settings = given(settings)
    spec = {
        "source": data,
        "image_size": image_size,
        "channels": channels,
        "root": settings.pop("data_root", None),
        "shots": settings.pop("shots", None),
        "data_seed": settings.pop("data_seed", 0),
    }
    parts = {
        "metrics": named(settings.pop("metrics", AUTO)),
        "samples": check_samples(settings.pop("samples", 5_000)),
        "extractor": settings.pop("extractor", "auto"),
        "title": settings.pop("title", ""),
    }
    if wrong := configs.title(parts["title"]):
        raise UsageError(f"title {wrong}")
    recipe = asdict(Recipe.from_settings(settings))
    images = load(spec)
    in_memory = isinstance(data, ImageData)
    kept = spec | {
        "source": data_room.spoken(data),
        "root": spec["root"] and str(spec["root"]),
    }
    kept["fingerprint"] = None if in_memory else images.fingerprint
    return parts | {"data": kept, "recipe": recipe}, images


def check_samples(count: Any) -> int:
    """How many samples are measured. Raises `UsageError` if that is no count, or too few."""
    if not isinstance(count, int) or count < 2:
        raise UsageError(f"samples must be at least 2, not {count}")
    return count


def load(spec: Mapping[str, Any]) -> ImageData:
    """The images that a data specification means."""
    arguments = {key: value for key, value in spec.items() if key not in ("source", "fingerprint")}
    return data_room.load(spec["source"], **arguments)
