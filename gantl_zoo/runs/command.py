"""The command line that repeats a run, for its card."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from gantl_zoo.metrics.catalogue import AUTO, NONE
from gantl_zoo.registry.arguments import to_word
from gantl_zoo.training.recipe import Recipe


def command_line(verb: str, name: str, job: Mapping[str, Any]) -> str:
    """`gantl-zoo VERB NAME --option …` with everything that is not a default."""
    data = job["data"]
    options: dict[str, Any] = {
        "data": data["source"],
        "shots": data["shots"],
        "data-seed": data["data_seed"] or None,
        "channels": data["channels"],
    }
    options["image-size"] = data["image_size"]
    if verb == "train":
        options["discriminator"] = job["networks"]["discriminator"]
    else:
        options |= {"strategy": job["strategy"], "latent-dim": job["latent_dim"]}
    known = {None: [], True: ["--conditional"], False: ["--unconditional"]}[job["conditional"]]
    if tuple(job["metrics"]) != (AUTO,):
        options["metrics"] = ",".join(job["metrics"]) or NONE
    usual = {"extractor": "auto", "samples": 5_000, "title": ""}
    options |= {key: job[key] for key, value in usual.items() if job[key] != value}
    defaults = Recipe()
    for key, value in job["recipe"].items():
        if key != "engine_config" and (value != getattr(defaults, key) or key in ("steps", "batch", "seed")):
            options[key.replace("_", "-")] = value
    words = ["gantl-zoo", verb, name, *known]
    words += [
        word for key, value in options.items() if value is not None for word in (f"--{key}", str(value))
    ]
    for flag, settings in _arguments(job).items():
        words += [word for key, value in settings.items() for word in (f"--{flag}", to_word(key, value))]
    return shlex.join(words)


def _arguments(job: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Builder and strategy arguments, which the command line takes as KEY=VALUE."""
    networks = job["networks"]
    implied = ["image_size", "channels"] + (["num_classes"] if job["conditional"] else [])
    return {
        "generator-arg": {k: v for k, v in networks.get("generator_config", {}).items() if k not in implied},
        "discriminator-arg": networks.get("discriminator_config", {}),
        "strategy-arg": job["strategy_config"],
        "engine-arg": job["recipe"]["engine_config"],
    }
