"""`--dry-run`: everything that would be built, without a run folder and without a step."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from gantl_zoo import data as data_room, seeding
from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks, call
from gantl_zoo.runs.prepare import to_train, to_transfer
from gantl_zoo.strategy.base import Plan
from gantl_zoo.surgery.matching import summary
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.setup import ANYWAY, check_engine, set_up

PROBED = 2  # images on which activations are counted


def dry_run(verb: str, name: str, settings: dict[str, Any]) -> str:
    """What `train` or `transfer` with these settings would build, load and teach."""
    if settings["resume"] is not None:
        raise UsageError("--dry-run says what a new run would do; with --resume it has nothing to say")
    rest = {key: value for key, value in settings.items() if key not in ("resume", "out", "quiet")}
    ready = (to_train if verb == "train" else to_transfer)(name, **rest)
    gan, images, strategy = ready.gan, ready.images, ready.job.strategy
    recipe = Recipe.from_settings(ready.job.recipe)
    setup = set_up(gan, ready.strategy, images, recipe.seed)
    plan = setup.plan
    lines = [ready.why] if ready.why else []
    lines += [f"data: {len(images):,} images {images.shape} of {images.name} ({images.fingerprint})"]
    lines += [summary(gan.about["fitted"])] if "fitted" in gan.about else []
    own = plan.discriminator is None
    networks = setup.networks
    for role, network in networks.items():
        brought = role == "discriminator" and not own
        lines += describe(role, f"of {strategy}" if brought else gan.parts[role]["name"], network, plan)
    lines += [ANYWAY.format(setup.unfrozen)] if setup.unfrozen else []
    machine = engine.choose(recipe.device, recipe.precision, recipe.engine_config)
    check_engine(recipe, machine)
    lines.append(f"engine: {machine}")
    lines.append(f"recipe: {recipe}")
    kept, passing = floor_memory(networks, images), activations(networks, recipe.batch // recipe.accumulate)
    lines.append(
        f"memory: about {(kept + passing) / 2**20:,.0f} MiB beside the libraries: {kept / 2**20:,.0f} for "
        f"weights, their averages and images, {passing / 2**20:,.0f} for activations (less in bf16)"
    )
    return "\n".join(lines)


def describe(role: str, name: str, network: Any, plan: Plan) -> list[str]:
    """A line a block: what it is, how large, whether it learns."""
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


def floor_memory(networks: dict[str, Any], images: data_room.ImageData) -> int:
    """Bytes of weights, gradients, two Adam moments, the average, and the images as uint8."""
    weights = {role: 4 * count(network) for role, network in networks.items()}
    return 4 * sum(weights.values()) + weights["generator"] + images.images.numel()


def activations(networks: dict[str, Any], images: int) -> int:
    """Bytes that the discriminator's phase keeps for its backward pass, seen on two images, in float32."""
    seen: dict[int, int] = {}
    weights = {p.data_ptr() for network in networks.values() for p in network.parameters()}

    def note(tensor: Tensor) -> Tensor:
        if tensor.data_ptr() not in weights:
            seen[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
            kept.append(tensor)  # else its place in memory is given to the next one
        return tensor

    kept: list[Tensor] = []
    generator, discriminator = (networks[role] for role in ("generator", "discriminator"))
    with seeding.seeded(0), torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        labels = torch.zeros(2 * PROBED, dtype=torch.long)
        fake = call(generator, torch.randn(PROBED, generator.latent_dim), labels[:PROBED])
        call(discriminator, torch.cat([fake, fake]), labels)
    return sum(seen.values()) * images // PROBED
