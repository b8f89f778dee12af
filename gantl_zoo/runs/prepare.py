"""What a run needs, put together and checked before anything is written; `--dry-run` tells just that."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from gantl_zoo import data as data_room, seeding
from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.metrics.catalogue import AUTO, named
from gantl_zoo.model.gan import GAN, build_gan
from gantl_zoo.model.lineage import pinned
from gantl_zoo.registry.arguments import given, plain
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.monitor import check_wishes
from gantl_zoo.runs.spec import check_samples, load
from gantl_zoo.storage import schema
from gantl_zoo.storage.untrusted import storable
from gantl_zoo.strategy.auto import Advice, advised
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.surgery.fit import fitted
from gantl_zoo.surgery.matching import summary
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import check_classes
from gantl_zoo.zoo import gan_named


@dataclass(frozen=True)
class Ready:
    """A run that nothing is known to speak against."""

    job: Job
    images: ImageData
    gan: GAN  # what it begins with
    strategy: TransferStrategy
    why: str = ""  # that strategy, where we were asked to choose


def to_train(
    generator: str,
    *,
    data: str | Path | ImageData,
    discriminator: str | None = None,
    generator_config: dict[str, Any] | None = None,
    discriminator_config: dict[str, Any] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    conditional: bool | None = None,
    **settings: Any,
) -> Ready:
    """A run of `train`. Raises what is wrong with names, arguments, images or wishes."""
    shared, images = common(data, image_size, channels, settings)
    kept_channels, kept_size, _ = images.shape
    made_for = {"image_size": kept_size, "channels": kept_channels}
    if count := classes_for(conditional, 0, images, generator):
        made_for["num_classes"] = count
    networks: dict[str, Any] = {
        "discriminator": discriminator,
        "generator_config": made_for | plain(generator_config or {}),
        "discriminator_config": plain(discriminator_config or {}),
    }
    job = Job(verb="train", name=generator, networks=networks, conditional=conditional, **shared)
    with seeding.seeded(job.recipe["seed"]):
        gan = build_gan(generator, name=generator, **networks)
    if gan.image_shape != images.shape:
        raise UsageError(
            f"{generator} makes images {gan.image_shape} (channels, height, width), those of {images.name} "
            f"are {images.shape}: leave image_size and channels to --image-size and --channels"
        )
    check_classes(gan, TransferStrategy().prepare(gan, gan, images), images)
    if getattr(gan.discriminator, "untaught", False):
        raise UsageError(
            f"discriminator {gan.parts['discriminator']['name']!r} would judge by frozen features of random "
            "weights: --discriminator-arg weights=cnn-mnist (or another trained backbone), backbone=timm:…, "
            "or freeze=false"
        )
    check_wishes(job, images)
    return Ready(job, images, gan, TransferStrategy())


def to_transfer(
    source: str | Path | GAN,
    *,
    data: str | Path | ImageData,
    strategy: str | TransferStrategy = "full",
    strategy_config: dict[str, Any] | None = None,
    image_size: int | None = None,
    channels: int | None = None,
    conditional: bool | None = None,
    latent_dim: int | None = None,
    compare_scratch: bool = False,
    **settings: Any,
) -> Ready:
    """A run of `transfer`; a `GAN` that was given stays as it is. Raises what is wrong, as `to_train`."""
    gan = source if isinstance(source, GAN) else gan_named(source)
    shared, images = common(
        data, gan.image_shape[1] if image_size is None else image_size, channels, settings
    )
    if compare_scratch:
        check_rival(gan)
    as_it_was, config = gan, plain(strategy_config or {})
    gan = fitted_to(images, gan, conditional, shared["recipe"]["seed"], latent_dim)
    chosen, method = _method(strategy, config, as_it_was, gan, images)
    name = gan.name if isinstance(source, GAN) else pinned(gan, str(source))
    kept: dict[str, Any] = {"strategy": chosen.strategy, "strategy_config": chosen.settings}
    kept["conditional"] = conditional
    kept |= {"compare_scratch": compare_scratch, "latent_dim": latent_dim}
    job = Job(verb="transfer", name=name, **kept, **shared)
    check_wishes(job, images)
    return Ready(job, images, gan, method, chosen.why)


def check_rival(gan: GAN) -> None:
    """Raises `UsageError` if a training from scratch with this architecture would be none or not fair."""
    if gan.discriminator is None:
        raise UsageError(f"{gan.name} has no discriminator, so nothing says what scratch would train with")
    if getattr(gan.discriminator, "freeze", False):
        raise UsageError(
            f"{gan.name} has a discriminator on a frozen backbone, which scratch would have with random "
            "weights: that comparison would not be fair"
        )


def _method(
    strategy: str | TransferStrategy, config: dict[str, Any], source: GAN, fitted: GAN, images: ImageData
) -> tuple[Advice, TransferStrategy]:
    """The strategy's name and settings, and the strategy; chosen, if we were asked to, for a `source` that
    was `fitted` to the images.
    """
    if not isinstance(strategy, str):
        if config:
            raise UsageError("strategy_config is for strategies by name; this one is built already")
        return Advice(type(strategy).__name__, {}), strategy
    advice = advised(strategy, config, source, fitted, images)
    return advice, build_strategy(advice.strategy, advice.settings)


def begun(job: Job, folder: RunFolder, images: ImageData, gan: GAN | None) -> GAN:
    """What the run begins with: built, loaded or given, fitted to its images, and what is known about it."""
    seed = job.recipe["seed"]
    if gan is None:
        with seeding.seeded(seed):
            gan = gan_named(job.name) if job.verb == "transfer" else build_gan(job.name, **job.networks)
    if job.verb == "transfer":
        gan = fitted_to(images, gan, job.conditional, seed, job.latent_dim)
    if "fitted" in gan.about:
        folder.log(summary(gan.about["fitted"]))
    named = {"classes": list(images.classes)} if gan.num_classes else {}
    about = {"lineage": job.lineage(gan, images), "training": job.training() | named}
    about |= {"fitted": gan.about["fitted"]} if "fitted" in gan.about else {}  # what is fresh has to learn
    return replace(gan, name=job.title or folder.path.name, about=about)


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
    for one in images.classes:
        storable(one, f"the class of {images.name}", DataError)
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
    if wrong := schema.title(parts["title"]):
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


def needed(name: str, value: Any) -> Any:
    """The value. Raises `UsageError` if there is none, which only a run that goes on may do without."""
    if value is None:
        raise UsageError(f"{name} must be given; only with resume=RUN it is known")
    return value
