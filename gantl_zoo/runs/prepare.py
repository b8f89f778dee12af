"""Prepare a run: build and check its images, networks, plan and metrics before anything is written.

Training, transfer, resuming, comparisons and dry runs all use these functions.
"""

from __future__ import annotations

import copy
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path
from typing import Any

from gantl_zoo.data import ImageData
from gantl_zoo.errors import UnknownNameError, UsageError
from gantl_zoo.metrics.shared import frozen_backbones
from gantl_zoo.model.base import address_of
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.lineage import pinned
from gantl_zoo.networks.contract import check_network
from gantl_zoo.registry.arguments import plain
from gantl_zoo.registry.builtins import models
from gantl_zoo.registry.releases import folder_at, release_folder
from gantl_zoo.runs.choice import Open, few_images_advice, nearness, recipe_for, without_effect
from gantl_zoo.runs.job import Job, Networks
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.memory import check_networks, check_step
from gantl_zoo.runs.monitor import monitor_of
from gantl_zoo.runs.networks import built, classes_for, fitted_to, for_images, fresh_words, with_networks
from gantl_zoo.runs.prepared import Prepared, within_budget, without_r1
from gantl_zoo.runs.spec import DataSpec, RunData
from gantl_zoo.seeding import seeded
from gantl_zoo.storage import schema
from gantl_zoo.strategy.auto import AUTO, Advice, advised
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.losses import build_loss, is_adversarial, networks_of
from gantl_zoo.training.modes import training_modes
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import check_engine, check_needs, set_up
from gantl_zoo.zoo import gan_named


@training_modes()
def from_scratch(
    generator: str,
    spec: DataSpec,
    recipe: Recipe,
    *,
    networks: Networks | None = None,
    conditional: bool | None = None,
    measuring: Measuring | None = None,
    title: str = "",
    choosing: Open | None = None,
    data: RunData | None = None,
    why: str = "",
) -> Prepared:
    """Prepare the training of new networks. Raises a `ZooError` for invalid names, arguments or images.

    `data` are the images of `spec`, if they were read already. `why` is put before the run's own reasons.
    """
    networks, measuring, choosing = networks or Networks(), measuring or Measuring(), choosing or Open()
    check_title(title)
    check_networks(generator, spec, networks)
    data = data or RunData.read(spec)
    networks = for_images(networks, data.train, classes_for(conditional, 0, data.train, generator))
    recipe, values = recipe_for(recipe, choosing, data.train)
    job = Job(
        verb="train",
        name=generator,
        data=spec,
        recipe=recipe,
        networks=networks,
        conditional=conditional,
        measuring=measuring,
        title=title,
        **origin(data, choosing),
    )
    advice = few_images_advice(recipe, data.train, choosing.preset)
    reasons = "\n".join(filter(None, [why, values, advice, without_effect(recipe)]))
    run = replace(from_job(job, data), why=reasons)
    return within_budget(run, choosing.minutes)


@training_modes()
def from_source(
    source: str | Path | GAN,
    spec: DataSpec,
    recipe: Recipe,
    *,
    strategy: str | TransferStrategy = AUTO,
    strategy_config: dict[str, Any] | None = None,
    networks: Networks | None = None,
    conditional: bool | None = None,
    latent_dim: int | None = None,
    measuring: Measuring | None = None,
    title: str = "",
    compare_scratch: bool = False,
    choosing: Open | None = None,
) -> Prepared:
    """Prepare a transfer. A `GAN` given as the source is not changed. Raises as `from_scratch` does."""
    networks, choosing = networks or Networks(), choosing or Open()
    check_title(title)
    gan = gan_named(source)
    if compare_scratch:
        check_baseline(gan)
    spec = replace(spec, image_size=gan.image_shape[1]) if spec.image_size is None else spec
    data = RunData.read(spec)
    ready = fitted_to(data.train, gan, conditional, recipe.seed, latent_dim)
    ready = with_networks(ready, networks, recipe.seed)
    chosen, method = _strategy(strategy, plain(strategy_config or {}), recipe, gan, ready, data.train)
    recipe, why = recipe_for(recipe, choosing, data.train)
    job = Job(
        verb="transfer", **source_fields(source, gan), data=spec, recipe=recipe, networks=networks,
        strategy=chosen.strategy, strategy_config=chosen.settings, conditional=conditional,
        latent_dim=latent_dim, measuring=measuring or Measuring(), title=title,
        compare_scratch=compare_scratch, **origin(data, choosing),
    )  # fmt: skip
    run = _assembled(job, data, ready, method)
    run = replace(run, why=transfer_reasons(run, gan, chosen, why))
    return within_budget(without_r1(run, choosing), choosing.minutes)


def transfer_reasons(run: Prepared, gan: GAN, chosen: Advice, values: str) -> str:
    """The lines that explain a transfer: its strategy, its networks and the `values` of its recipe."""
    advice = "" if chosen.far is None else nearness(gan, run.data.train, chosen.far)
    recipe = without_effect(run.job.recipe)
    return "\n".join(filter(None, [chosen.why, advice, fresh_words(gan, run.setup), values, recipe]))


def origin(data: RunData, choosing: Open) -> dict[str, Any]:
    """The fields of a job that say which images and which choices it began with."""
    return {"fingerprint": data.fingerprint, "preset": choosing.preset, "minutes": choosing.minutes}


@training_modes()
def from_job(
    job: Job,
    data: RunData,
    gan: GAN | None = None,
    strategy: TransferStrategy | None = None,
    *,
    avoid: Collection[str] = (),
) -> Prepared:
    """Prepare the run of a job. `gan` and `strategy` are needed if the job's own were given as objects.

    `avoid` has the `stem_digest` of further networks whose features must not be the default of the metrics.
    """
    if gan is None:
        with seeded(job.recipe.seed):
            gan = _source(job) if job.verb == "transfer" else built(job, data.train)
    if job.verb == "transfer":
        gan = fitted_to(data.train, gan, job.conditional, job.recipe.seed, job.latent_dim)
        gan = with_networks(gan, job.networks, job.recipe.seed)
    strategy = strategy or build_strategy(job.strategy, job.strategy_config)
    return _assembled(job, data, gan, strategy, avoid)


def _assembled(
    job: Job, data: RunData, gan: GAN, strategy: TransferStrategy, avoid: Collection[str] = ()
) -> Prepared:
    """The last part of all preparations. The strategy prepares a copy of a transfer's source."""
    recipe = job.recipe
    machine = engine.choose(recipe.device, recipe.precision, recipe.engine_config)
    check_engine(recipe, machine)
    check_needs(recipe, gan.generator)
    source = gan if job.verb == "transfer" else None
    loss = build_loss(recipe.loss, recipe.loss_config)
    setup = set_up(gan if source is None else copy.deepcopy(gan), strategy, data.train, recipe.seed, loss)
    if source is not None and job.networks.discriminator and setup.plan.discriminator is not None:
        raise UsageError(
            f"strategy {job.strategy} has a discriminator of its own: leave --discriminator "
            f"{job.networks.discriminator} out, or choose another strategy"
        )
    if job.verb == "train" and getattr(gan.discriminator, "random_features", False):
        raise UsageError(
            f"discriminator {gan.parts['discriminator']['name']!r} has a frozen backbone of random weights: "
            "use --discriminator-arg weights=cnn-mnist (or another trained backbone), backbone=timm:… or "
            "freeze=false"
        )
    check_step(setup, data.train, recipe, machine)
    for role in gan.parts:  # also those of a source, and of more pixels than are checked when they are built
        if getattr(gan, role) is not None:
            check_network(f"{role}s", gan.parts[role]["name"], getattr(gan, role))
    used = networks_of(loss, gan.image_shape)
    frozen = frozen_backbones([*setup.networks.values(), *setup.plan.modules.values(), *used])
    monitor = monitor_of(job, data, frozen, avoid)
    return Prepared(job, data, setup, machine, monitor, source)


def source_fields(source: str | Path | GAN, gan: GAN) -> dict[str, Any]:
    """The fields of a job that say where its source comes from."""
    name, place = source_name(source, gan)
    return {"name": name, "place": place, "source_given": isinstance(source, GAN) and gan.folder is None}


def source_name(source: str | Path | GAN, gan: GAN) -> tuple[str, str | None]:
    """The name of a run's source, with the commit if it is on the Hub, and the absolute path of its folder.

    A resumed run needs both to find the source. The path is None for released models and those on the Hub.
    """
    if not isinstance(source, GAN):
        folder = folder_at(source)
        return pinned(gan, str(source)), None if folder is None else str(folder.absolute())
    if gan.folder is None or "hub" in gan.about:
        return pinned(gan, gan.name), None
    if gan.name in models and gan.folder == release_folder(f"{models.entry(gan.name).owner}:{gan.name}"):
        return gan.name, None
    return address_of(gan.folder) or gan.name, str(gan.folder.absolute())


def _source(job: Job) -> GAN:
    """Load the source of a transfer by its path or name. Raises `UnknownNameError` for an object."""
    if job.source_given:
        raise UnknownNameError(f"the source {job.name!r} was given as an object")
    if job.place is not None and Path(job.place).is_dir():
        return gan_named(Path(job.place))
    return gan_named(job.name)


def _strategy(
    strategy: str | TransferStrategy,
    config: dict[str, Any],
    recipe: Recipe,
    source: GAN,
    ready: GAN,
    images: ImageData,
) -> tuple[Advice, TransferStrategy]:
    """The strategy's name, settings and reasons, and the strategy; `ready` is the fitted `source`."""
    if not isinstance(strategy, str | TransferStrategy):
        raise UsageError(f"strategy must be a name or a gz.TransferStrategy object, not {strategy!r:.80}")
    if not isinstance(strategy, str):
        if config:
            raise UsageError(
                "strategy_config is for a strategy's name; pass the arguments to the strategy object"
            )
        return Advice(type(strategy).__name__, {}), strategy
    if strategy == AUTO and not is_adversarial(build_loss(recipe.loss, recipe.loss_config)):
        strategy = "full"  # the guide of "auto" was measured with discriminators
    advice = advised(strategy, config, source, ready, images)
    return advice, build_strategy(advice.strategy, advice.settings)


def check_baseline(gan: GAN) -> None:
    """Raise `UsageError` if this architecture can't be trained from scratch for a fair comparison."""
    if gan.discriminator is None:
        raise UsageError(
            f"{gan.name} has no discriminator, which training from scratch needs: leave --compare-scratch out"
        )
    if getattr(gan.discriminator, "freeze", False):
        raise UsageError(
            f"the discriminator of {gan.name} has a frozen backbone, which would have random weights from "
            "scratch, so the comparison would not be fair: leave --compare-scratch out"
        )


def check_title(title: str) -> None:
    """Raise `UsageError` for a title that is not a valid folder name."""
    if wrong := schema.title(title):
        raise UsageError(f"title {wrong}")
