"""The command line that repeats a run, for its card."""

from __future__ import annotations

import shlex
from dataclasses import asdict
from typing import Any

from gantl_zoo.metrics.catalogue import NONE
from gantl_zoo.registry.arguments import to_word
from gantl_zoo.runs.job import Job
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.training.recipe import Recipe, open_settings

ALWAYS = ("steps", "batch", "seed")  # settings that are always listed


def command_line(job: Job) -> str:
    """`gantl-zoo VERB NAME --option …` with all settings that are not defaults of that verb."""
    options: dict[str, Any] = {
        "data": job.data.name,
        "shots": job.data.shots,
        "data-seed": job.data.data_seed or None,
        "channels": job.data.channels,
        "image-size": job.data.image_size,
        "fit": None if job.data.fit == "crop" else job.data.fit,
    }
    options["discriminator"] = job.networks.discriminator
    if job.verb == "transfer":
        options |= {"strategy": job.strategy, "latent-dim": job.latent_dim}
    options |= measuring_options(job.measuring)
    options |= {"title": job.title or None} | recipe_options(job.verb, job.recipe)
    classes = {None: [], True: ["--conditional"], False: ["--unconditional"]}[job.conditional]
    words = ["gantl-zoo", job.verb, job.name, *classes]
    words += [
        word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))
    ]
    for flag, settings in _arguments(job).items():
        words += [word for key, value in settings.items() for word in (f"--{flag}", to_word(key, value))]
    return shlex.join(words)


def measuring_options(measuring: Measuring) -> dict[str, Any]:
    """The options that differ from their defaults."""
    usual = Measuring()
    options: dict[str, Any] = {"extractor": measuring.extractor, "samples": measuring.samples}
    options = {key: value for key, value in options.items() if value != getattr(usual, key)}
    if measuring.metrics != usual.metrics:
        options["metrics"] = ",".join(measuring.metrics) or NONE
    return options


def recipe_options(verb: str, recipe: Recipe) -> dict[str, Any]:
    """The options that differ from the verb's defaults, those in `ALWAYS`, and those that it chooses."""
    usual = asdict(Recipe.for_verb(verb))
    always = {*ALWAYS, *open_settings(verb, {})}
    return {
        key.replace("_", "-"): value
        for key, value in asdict(recipe).items()
        if not isinstance(value, dict) and (value != usual[key] or key in always)
    }


def _arguments(job: Job) -> dict[str, dict[str, Any]]:
    """Arguments of builders, recipe, strategy and engine, which the command line takes as KEY=VALUE."""
    implied = ["image_size", "channels"] + (["num_classes"] if job.conditional else [])
    generator = {k: v for k, v in job.networks.generator_config.items() if k not in implied}
    return {
        "generator-arg": generator,
        "discriminator-arg": job.networks.discriminator_config,
        "strategy-arg": job.strategy_config,
        "loss-arg": job.recipe.loss_config,
        "aug-arg": job.recipe.aug_config,
        "regularizer-arg": job.recipe.regularizer_config,
        "final": job.recipe.final,
        "engine-arg": job.recipe.engine_config,
    }
