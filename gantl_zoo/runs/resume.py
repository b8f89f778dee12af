"""`--resume`: a run goes on as its own folder says, and a wish that says otherwise is refused."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import TrainingError, UnknownNameError, UsageError
from gantl_zoo.metrics.catalogue import named
from gantl_zoo.model.gan import GAN
from gantl_zoo.registry.arguments import given
from gantl_zoo.runs.compare import compare
from gantl_zoo.runs.execute import execute
from gantl_zoo.runs.folder import RunFolder
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.prepare import fitted_to
from gantl_zoo.runs.spec import load
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.zoo import gan_named


def continue_run(path: str | Path, quiet: bool = True, **wishes: Any) -> GAN:
    """Go on with the run in `path` from its newest checkpoint, as if it had never stopped.

    `wishes` are what `train` or `transfer` was called with beside that: they must be the run's own. A source
    or a strategy that the run was given in memory is needed here again. Raises `UsageError`, and
    `TrainingError` if there is no such run or its images have changed.
    """
    folder, config = RunFolder.open(path, quiet)
    if isinstance(config.get("data"), dict):
        config["data"].setdefault("split_by", "path")  # as runs held images out before they said how
    try:
        job = Job(**config | {"metrics": named(config["metrics"])})
    except (TypeError, KeyError) as error:
        raise TrainingError(
            f"{path} was written by another version of gantl_zoo, or its config.json was changed: {error}"
        ) from error
    check_wishes(job, path, given(wishes))
    if job.data["fingerprint"] is None:
        raise TrainingError(f"{path} was given its images in memory; call train or transfer anew")
    images = load(job.data)
    if images.fingerprint != job.data["fingerprint"]:
        raise TrainingError(
            f"the data {job.data['source']} has changed since {path} began (fingerprint "
            f"{images.fingerprint}, then {job.data['fingerprint']}), or is streamed now and was not then, or "
            "the reverse (GANTL_ZOO_MEMORY): restore that, or start a new run"
        )
    source, strategy = wishes.get("name"), wishes.get("strategy")
    gan = source if isinstance(source, GAN) else None
    method = strategy if isinstance(strategy, TransferStrategy) else None
    try:
        result = execute(job, folder, images, copy.deepcopy(gan), method, resume=True)
    except UnknownNameError as error:
        raise UnknownNameError(f"{error}; what {path} was given in memory it needs again here") from error
    if job.compare_scratch:
        gan = gan or gan_named(job.name)
        gan = fitted_to(images, gan, job.conditional, job.recipe["seed"], job.latent_dim)
        compare(job, folder, images, gan, result)
    return result


def check_wishes(job: Job, path: str | Path, wishes: Mapping[str, Any]) -> None:
    """Raises `UsageError` for a wish that is not what the run began with."""
    own = settings_of(job)
    if unknown := sorted(set(wishes) - set(own)):
        raise UsageError(f"unknown setting {', '.join(unknown)}; there are: {', '.join(sorted(own))}")
    for key, wish in wishes.items():
        if agree(key, wish, own[key]):
            continue
        if key in ("name", "data"):
            raise UsageError(
                f"{path} is a run of {job.name} on {job.data['source']}, not of or on {wish}: --resume "
                f"never means transfer; for that say gantl-zoo transfer {path} --data …, without --resume"
            )
        word = key.replace("_config", "-arg").replace("_", "-")
        raise UsageError(
            f"{path} began with {word} {own[key]}, not {wish}, and --resume goes on with what a run began "
            f"with: leave {word} out, or begin anew from its model with gantl-zoo transfer {path} --data …"
        )


def settings_of(job: Job) -> dict[str, Any]:
    """What `train` or `transfer` was called with, by the names of their arguments."""
    networks: dict[str, Any] = {"discriminator": None, "generator_config": {}, "discriminator_config": {}}
    parts = ("conditional", "latent_dim", "metrics", "samples", "extractor", "title", "compare_scratch")
    data = ("image_size", "channels", "shots", "data_seed")
    return {
        "name": job.name,
        "data": job.data["source"],
        "data_root": job.data["root"],
        "strategy": job.strategy,
        "strategy_config": job.strategy_config,
        **networks,
        **job.networks,
        **{key: job.data[key] for key in data},
        **{key: getattr(job, key) for key in parts},
        **job.recipe,
    }


def agree(key: str, wish: Any, own: Any) -> bool:
    """Does a wish say what the run's own setting says, or nothing?"""
    if key in ("name", "data"):
        return same(str(wish) if isinstance(wish, (str, Path)) else wish.name, own)
    if key == "metrics":
        return tuple(named(wish)) == tuple(own)
    if isinstance(wish, TransferStrategy):
        return str(own) == type(wish).__name__
    if isinstance(wish, Mapping):  # what was not said is the builder's default, or follows from the images
        as_kept = json.loads(json.dumps(wish, default=str))
        return all(name in own and own[name] == value for name, value in as_kept.items())
    return bool(wish == own) or str(wish) == str(own) or (key, wish) == ("strategy", "auto")


def same(wish: str, own: str) -> bool:
    """Are these one place, or one name? A wish may leave out the commit that a run keeps of its source."""
    if wish and os.path.exists(wish) and os.path.exists(own):
        return Path(wish).resolve() == Path(own).resolve()
    name, _, revision = wish.removeprefix("hf-hub:").partition("@")
    known, _, commit = own.removeprefix("hf-hub:").partition("@")
    moving = not re.fullmatch("[0-9a-f]{40}", revision)  # none, a branch, a tag: it may have moved since
    return not wish or (name == known and (moving or revision == commit))
