"""`--dry-run`: describe a run, its time and its size without creating a run folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from itertools import groupby
from textwrap import wrap
from typing import Any

from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.memory import disk_needed
from gantl_zoo.runs.prepared import Prepared
from gantl_zoo.strategy.base import Plan
from gantl_zoo.training.checkpoint import KEPT
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import ANYWAY

WIDTH = 80  # characters of a line
LABEL = 15  # characters of the first column


def dry_run(run: Prepared) -> str:
    """What the run would build, load and train, with one labelled entry for each."""
    setup, images, job = run.setup, run.data.train, run.job
    rows = [("data", f"{len(images):,} images {size(images.shape)} of {images.name} ({images.fingerprint})")]
    rows += [("", images.changes)] if images.changes else []
    start = (
        "new networks"
        if job.verb == "train"
        else f"{job.name} with {with_arguments(f'strategy {job.strategy}', job.strategy_config)}"
    )
    rows.append((job.verb, start))
    rows += [("fitted", text) for text in fitted_words(setup.gan.about.get("fitted", {}))]
    for role, network in setup.networks.items():
        replaced = role == "discriminator" and setup.plan.discriminator is not None
        name = f"of {job.strategy}" if replaced else setup.gan.parts[role]["name"]
        states = trained_blocks(role, network, setup.plan)
        rows.append((role, f"{name}, {count(network):,} parameters: {states}"))
    rows += [("", ANYWAY.format(setup.unfrozen))] if setup.unfrozen else []
    rows.append(("recipe", recipe_words(job.recipe)))
    rows += [("reasons" if not i else "", line) for i, line in enumerate(run.why.splitlines())]
    rows += [("metrics", run.monitor.note.removeprefix("no metrics: "))] if run.monitor.note else []
    disk = disk_needed(setup.networks, KEPT + 1)
    rows += [("engine", str(run.engine)), ("estimate", f"{run.estimate()}, {disk / 2**20:,.0f} MiB of disk")]
    return "\n".join(entry(label, text) for label, text in rows)


def entry(label: str, text: str) -> str:
    """A label and its text, which is wrapped with a hanging indent into the second column."""
    width = WIDTH - LABEL
    lines = wrap(text, width, subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
    return f"{label:{LABEL}}" + f"\n{'':{LABEL}}".join(lines)


def size(shape: Iterable[int]) -> str:
    """The shape (C, H, W) of images in words: "of 28×28 in grey"."""
    channels, height, width = shape
    return f"of {height}×{width} in {'grey' if channels == 1 else 'colour'}"


def with_arguments(name: str, settings: Mapping[str, Any]) -> str:
    """A name and its arguments in words."""
    return " ".join([name, *(f"{key}={value}" for key, value in settings.items())])


def fitted_words(report: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """For each network that was fitted: what happened to its size, and how many tensors were reused, …"""
    lines = []
    for role, tensors in report.items():
        parts = []
        for how in ("reused", "adapted", "fresh", "dropped"):
            notes = dict.fromkeys(tensors[how].values()) if isinstance(tensors[how], Mapping) else {}
            why = f" ({'; '.join(notes)})" if notes else ""
            parts += [f"{len(tensors[how])} {how}{why}"] if tensors[how] else []
        lines += [f"{role}: {tensors['size']}"] if "size" in tensors else []
        lines.append(f"{role}, tensors: {', '.join(parts)}")
    return lines


def trained_blocks(role: str, network: Any, plan: Plan) -> str:
    """Which blocks of a network are trained and which are frozen, from the first to the last."""
    now = {id(parameter) for parameter in plan.parameters(role)}
    later = {id(parameter) for group in plan.groups.get(role, []) for parameter in group.parameters}
    states = []
    for block in blocks(network):
        own = {id(parameter) for parameter in block.parameters()}
        states.append("trained" if own & now else "trained later" if own & later else "frozen")
    if len(set(states)) == 1:
        return f"all blocks are {states[0]}"
    parts = []
    for state, members in groupby(enumerate(states), key=lambda pair: pair[1]):
        numbers = [number for number, _ in members]
        if len(numbers) == 1:
            parts.append(f"block {numbers[0]} is {state}")
        else:
            parts.append(f"blocks {numbers[0]} to {numbers[-1]} are {state}")
    return ", ".join(parts)


def recipe_words(recipe: Recipe) -> str:
    """The recipe in words, without settings that are rarely changed."""
    rate = f"learning rate {recipe.lr:g}"
    if recipe.discriminator_lr is not None:
        rate += f" (discriminator {recipe.discriminator_lr:g})"
    if recipe.decay:
        rate += f", falling to zero over the last {recipe.decay:.0%}"
    moving = ", ".join(f"{name} to {value:g}" for name, value in recipe.final.items())
    rounds = f" in {recipe.accumulate} rounds" if recipe.accumulate > 1 else ""
    loss = with_arguments(f"{recipe.loss} loss", recipe.loss_config)
    named = "no augmentation" if recipe.aug == "none" else f"augmentation {recipe.aug}"
    augmentation = with_arguments(named, recipe.aug_config)
    penalty = f"R1 {recipe.r1:g}" if recipe.r1 else "no R1"
    penalty += "" if recipe.regularizer == "none" else f", regularizer {recipe.regularizer}"
    penalty = with_arguments(penalty, recipe.regularizer_config)
    return (
        f"{recipe.steps:,} steps of {recipe.batch} images{rounds}, {rate}, {loss}, {augmentation}, "
        f"{penalty}, {f'moving {moving}, ' if moving else ''}seed {recipe.seed}"
    )


def count(network: Any) -> int:
    """The number of parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
