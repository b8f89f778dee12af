"""`--dry-run`: everything that would be built, without a run folder and without a step."""

from __future__ import annotations

from typing import Any

from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.memory import needed
from gantl_zoo.runs.prepare import Prepared
from gantl_zoo.runs.spec import note_on
from gantl_zoo.strategy.base import Plan
from gantl_zoo.surgery.matching import summary
from gantl_zoo.training.setup import ANYWAY


def dry_run(run: Prepared) -> str:
    """What the run would build, load and train."""
    setup, images, recipe = run.setup, run.data.train, run.job.recipe
    gan, plan = setup.gan, setup.plan
    lines = [run.why] if run.why else []
    lines += [f"data: {len(images):,} images {images.shape} of {images.name} ({images.fingerprint})"]
    lines += [note] if (note := note_on(images)) else []
    lines += [summary(gan.about["fitted"])] if "fitted" in gan.about else []
    for role, network in setup.networks.items():
        brought = role == "discriminator" and plan.discriminator is not None
        lines += describe(
            role, f"of {run.job.strategy}" if brought else gan.parts[role]["name"], network, plan
        )
    lines += [ANYWAY.format(setup.unfrozen)] if setup.unfrozen else []
    lines += [run.monitor.note] if run.monitor.note else []
    lines.append(f"engine: {run.engine}")
    lines.append(f"recipe: {recipe}")
    need = needed(setup.networks, images, recipe)
    kept = need.weights + need.images
    lines.append(
        f"memory: about {sum(need) / 2**20:,.0f} MiB beside the libraries: {kept / 2**20:,.0f} for "
        f"weights, their averages and images, {need.activations / 2**20:,.0f} for activations (less in bf16)"
    )
    return "\n".join(lines)


def describe(role: str, name: str, network: Any, plan: Plan) -> list[str]:
    """A line a block: what it is, how large, whether it is trained."""
    learning = {id(parameter) for parameter in plan.parameters(role)}
    later = {id(parameter) for group in plan.groups.get(role, []) for parameter in group.parameters}
    lines = [f"{role} {name}: {count(network):,} parameters"]
    for i, block in enumerate(blocks(network)):
        own = {id(parameter) for parameter in block.parameters()}
        state = "learns" if own & learning else "learns later" if own & later else "frozen"
        lines.append(f"  block {i}: {type(block).__name__:12} {count(block):>12,}  {state}")
    return lines


def count(network: Any) -> int:
    """Parameters of a network."""
    return sum(parameter.numel() for parameter in network.parameters())
