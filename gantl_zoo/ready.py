"""What a run needs, put together and checked before anything is written; `--dry-run` tells just that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gantl_zoo.advise import Advice, advised
from gantl_zoo.arguments import plain
from gantl_zoo.data import ImageData
from gantl_zoo.errors import UsageError
from gantl_zoo.gan import GAN, build_gan
from gantl_zoo.job import Job, classes_for, common, fitted_to
from gantl_zoo.judge import check_wishes
from gantl_zoo.training import chance
from gantl_zoo.training.classes import check_classes
from gantl_zoo.transfer.combine import build_strategy
from gantl_zoo.transfer.strategy import TransferStrategy
from gantl_zoo.zoo import gan_named, pinned


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
    with chance.seeded(job.recipe["seed"]):
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
