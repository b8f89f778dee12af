"""The networks of a run: built for its images, or those of a source that is fitted to them."""

from __future__ import annotations

from dataclasses import asdict, replace

from gantl_zoo.data import ImageData
from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.model.gan import GAN, build_gan, is_fresh
from gantl_zoo.registry.arguments import plain
from gantl_zoo.runs.job import Job, Networks
from gantl_zoo.runs.memory import check_weights
from gantl_zoo.storage.untrusted import storable
from gantl_zoo.surgery.fit import fitted
from gantl_zoo.surgery.fresh import completed, with_discriminator
from gantl_zoo.training.setup import Setup


def for_images(networks: Networks, images: ImageData, num_classes: int) -> Networks:
    """The networks with the size, channels and classes of the images. Raises `DataError` if not square."""
    channels, size, _ = images.shape
    config = {"image_size": size, "channels": channels}
    if num_classes:
        config["num_classes"] = num_classes
    if not {"image_size", "channels"} & set(networks.generator_config):
        images.check_square()
    return replace(
        networks,
        generator_config=config | plain(networks.generator_config),
        discriminator_config=plain(networks.discriminator_config),
    )


def built(job: Job, images: ImageData) -> GAN:
    """Build new networks for the images. Raises `UsageError` if they make images of another shape."""
    check_weights(job.name, job.networks.generator_config)
    gan = build_gan(job.name, name=job.name, **asdict(job.networks))
    if gan.image_shape != images.shape:
        raise UsageError(
            f"{job.name} makes images {gan.image_shape} (channels, height, width), but those of "
            f"{images.name} are {images.shape}: set --image-size and --channels instead of image_size and "
            "channels of the network"
        )
    return gan


def fitted_to(
    images: ImageData, source: GAN, conditional: bool | None, seed: int, latent_dim: int | None = None
) -> GAN:
    """Fit the source to the shape and, if it is to be conditional, to the classes of the images."""
    count = classes_for(conditional, source.num_classes, images, source.name)
    return fitted(source, images.shape, seed, images.classes if count else (), latent_dim)


def with_networks(gan: GAN, networks: Networks, seed: int) -> GAN:
    """The GAN with the discriminator that `networks` name, or as it is; a missing one is added.

    Raises `UsageError`.
    """
    if networks.discriminator is None:
        if networks.discriminator_config:
            raise UsageError("arguments of a new discriminator need its name: --discriminator NAME")
        return completed(gan, seed)
    config = plain(networks.discriminator_config)
    return with_discriminator(gan, networks.discriminator, config, seed, "a new discriminator")


def fresh_words(source: GAN, setup: Setup) -> str:
    """A line about a new discriminator that the run trains, or else an empty string."""
    if setup.plan.discriminator is not None or not is_fresh(setup.gan):
        return ""
    text = f"discriminator: a new {setup.gan.parts['discriminator']['name']} of random weights"
    if source.discriminator is not None:
        return text
    return f"{text}, because the source has none; --strategy projected uses pretrained features instead"


def classes_for(conditional: bool | None, current: int, images: ImageData, name: str) -> int:
    """The number of classes of the model to train: 0, or that of the images. `current` is the source's.

    Raises `DataError` if the images have no labels.
    """
    if not (current if conditional is None else conditional):
        return 0
    if images.labels is None or not images.classes:
        reason = f"{name} has {current} classes" if conditional is None else "--conditional needs classes"
        without = "use --unconditional" if current else "leave --conditional out"
        raise DataError(
            f"{reason}, but {images.name} has no labels: sort its images into one folder per class, or "
            f"{without}"
        )
    for one in images.classes:
        storable(one, f"the class of {images.name}", DataError)
    return len(images.classes)
