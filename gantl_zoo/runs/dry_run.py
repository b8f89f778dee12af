"""`--dry-run`: what a run would train, from what, for how long and how large, without a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from typing import Any

from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.memory import disk_needed
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.strategy.base import Plan
from gantl_zoo.training.checkpoint import KEPT
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import ANYWAY

LABEL = 15  # characters of the first column
STATES = {"learns": "learn", "learns later": "learn later", "frozen": "are frozen"}


def dry_run(run: Prepared) -> str:
    """What the run would build, load and train, a line a thing."""
    setup, images, job = run.setup, run.data.train, run.job
    rows = [("data", f"{len(images):,} images {size(images.shape)} of {images.name} ({images.fingerprint})")]
    rows += [("", images.changes)] if images.changes else []
    start = (
        "new networks"
        if job.verb == "train"
        else f"{job.name} with {spelled(job.strategy, job.strategy_config)}"
    )
    rows.append((job.verb, start))
    rows += [("fitted", words) for words in fitted_words(setup.gan.about.get("fitted", {}))]
    for role, network in setup.networks.items():
        brought = role == "discriminator" and setup.plan.discriminator is not None
        name = f"of {job.strategy}" if brought else setup.gan.parts[role]["name"]
        rows.append((role, f"{name}, {count(network):,} parameters: {learning(role, network, setup.plan)}"))
    rows += [("", ANYWAY.format(setup.unfrozen))] if setup.unfrozen else []
    rows.append(("recipe", recipe_words(job.recipe)))
    rows += [("chosen" if not i else "", line) for i, line in enumerate(run.why.splitlines())]
    rows += [("metrics", run.monitor.note.removeprefix("no metrics: "))] if run.monitor.note else []
    disk = disk_needed(setup.networks, KEPT + 1)
    rows += [("engine", str(run.engine)), ("estimate", f"{run.estimate()}, {disk / 2**20:,.0f} MiB of disk")]
    return "\n".join(f"{label:{LABEL}}{text}" for label, text in rows)


def size(shape: Iterable[int]) -> str:
    """An image's shape in words: "of 28×28 in grey"."""
    channels, height, width = shape
    return f"of {height}×{width} in {'grey' if channels == 1 else 'colour'}"


def spelled(strategy: str, settings: Mapping[str, Any]) -> str:
    """A strategy and its settings."""
    return " ".join([f"strategy {strategy}", *(f"{key}={value}" for key, value in settings.items())])


def fitted_words(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """A line for each network that was fitted to the images: how many tensors were reused, adapted, …"""
    lines = []
    for role, found in report.items():
        parts = []
        for how in ("reused", "adapted", "fresh", "dropped"):
            notes = dict.fromkeys(found[how].values()) if isinstance(found[how], Mapping) else {}
            why = f" ({'; '.join(notes)})" if notes else ""
            parts += [f"{len(found[how])} {how}{why}"] if found[how] else []
        width = f"; width {found['width']}" if "width" in found else ""
        lines.append(f"{role}, tensors: {', '.join(parts)}{width}")
    return lines


def learning(role: str, network: Any, plan: Plan) -> str:
    """Which blocks of a network learn, from the first to the last."""
    now = {id(parameter) for parameter in plan.parameters(role)}
    later = {id(parameter) for group in plan.groups.get(role, []) for parameter in group.parameters}
    states = []
    for block in blocks(network):
        own = {id(parameter) for parameter in block.parameters()}
        states.append("learns" if own & now else "learns later" if own & later else "frozen")
    if len(set(states)) == 1:
        return {"learns": "all blocks learn", "frozen": "all blocks are frozen"}.get(states[0], states[0])
    words = []
    for state, members in groupby(enumerate(states), key=lambda pair: pair[1]):
        numbers = [number for number, _ in members]
        if len(numbers) == 1:
            words.append(f"block {numbers[0]} {'is ' * (state == 'frozen')}{state}")
        else:
            words.append(f"blocks {numbers[0]} to {numbers[-1]} {STATES[state]}")
    return ", ".join(words)


def recipe_words(recipe: Recipe) -> str:
    """The recipe as a person would say it, without what is rarely set."""
    rate = f"learning rate {recipe.lr:g}"
    if recipe.discriminator_lr is not None:
        rate += f" (discriminator {recipe.discriminator_lr:g})"
    if recipe.decay:
        rate += f", falling to zero over the last {recipe.decay:.0%}"
    rounds = f" in {recipe.accumulate} rounds" if recipe.accumulate > 1 else ""
    augmentation = "no augmentation" if recipe.aug == "none" else f"augmentation {recipe.aug}"
    penalty = f"R1 {recipe.r1:g}" if recipe.r1 else "no R1"
    return (
        f"{recipe.steps:,} steps of {recipe.batch} images{rounds}, {rate}, {recipe.loss} loss, "
        f"{augmentation}, {penalty}, seed {recipe.seed}"
    )


def count(network: Any) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
