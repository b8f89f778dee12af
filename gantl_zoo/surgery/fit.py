"""Fit a GAN's weights to another image size, number of channels, set of classes or latent size.

Blocks are matched from the end that doesn't change (the generator's latent, the discriminator's logits).
Blocks are added or dropped next to the image. A `Match` says where each tensor comes from; a tensor that no
rule covers is an error. The rules are in `matching.py`, those for classes in `class_tables.py`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks.base import blocks, call, num_classes_of
from gantl_zoo.surgery.class_tables import class_positions, renormalise
from gantl_zoo.surgery.matching import RECOMPUTED, Match, as_lineage, pairs, take

MEASURED, AT_ONCE = 256, 32  # images to recompute BatchNorm statistics from; images per batch


def fitted(
    source: GAN,
    image_shape: tuple[int, int, int],
    seed: int,
    classes: Sequence[str] | None = None,
    latent_dim: int | None = None,
) -> GAN:
    """Return `source` if it fits the image shape, classes and latent size, else a fitted copy.

    The `about` of the copy contains the match report and the classes.
    """
    count = source.num_classes if classes is None else len(classes)
    moved = class_positions(classes_of(source), classes or ())
    same_shapes = source.image_shape == image_shape and latent_dim in (None, source.latent_dim)
    if same_shapes and count == source.num_classes and not moved:
        return source
    return adapt(source, image_shape, latent_dim, count, seed=seed, classes=classes or ())[0]


def classes_of(gan: GAN) -> list[str]:
    """Names of the classes that `gan` is conditioned on; empty if they are unknown."""
    names = list(gan.about.get("training", {}).get("classes") or ())
    return names if len(names) == gan.num_classes else []


def adapt(
    source: GAN,
    image_shape: tuple[int, int, int],
    latent_dim: int | None = None,
    num_classes: int | None = None,
    *,
    seed: int = 0,
    classes: Sequence[str] = (),
) -> tuple[GAN, list[Match]]:
    """Copy `source` and fit it to images (C, H, W) and, if given, another latent size or number of classes.

    Returns the copy and the match report, which is also in its `about`. Metrics of the source are dropped.
    `num_classes=0` makes it unconditional. `seed` initialises fresh weights. `classes` names the new classes:
    a class of the source with the same name keeps its weights.

    Raises `UsageError` if a network can't be built with these settings, or if no rule covers a tensor's new
    shape.
    """
    count = (len(classes) or source.num_classes) if num_classes is None else num_classes
    check_target(source, image_shape, latent_dim, count, classes)
    named = list(classes) or (classes_of(source) if count == source.num_classes else [])
    positions = class_positions(classes_of(source), classes)
    target = {"channels": image_shape[0], "image_size": image_shape[1], "num_classes": count}
    target["latent_dim"] = source.latent_dim if latent_dim is None else latent_dim
    parts, networks, report, widths = {}, {}, [], {}
    for role in source.parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts[role], networks[role], matches = fit_network(role, source, target, positions)
        report += matches
        widths[role] = [part["config"].get("width") for part in (source.parts[role], parts[role])]
    networks.setdefault("discriminator", None)
    lineage = as_lineage(report)
    for role, (before, after) in widths.items():
        lineage[role] |= {"width": f"{before} to {after}"} if before != after else {}
    about: dict[str, Any] = {k: source.about[k] for k in ("lineage", "license", "hub") if k in source.about}
    about |= {"fitted": lineage} | ({"training": {"classes": named}} if named else {})
    return replace(source, parts=parts, about=about, **networks), report


def check_target(
    source: GAN,
    image_shape: tuple[int, int, int],
    latent_dim: int | None,
    num_classes: int,
    classes: Sequence[str],
) -> None:
    """Raise `UsageError` for images, latents or classes that no network can be fitted to."""
    channels, height, width = image_shape
    if height != width:
        raise UsageError(f"networks make square images, so they can't be fitted to {height}×{width}")
    if channels != source.image_shape[0] and {channels, source.image_shape[0]} != {1, 3}:
        raise UsageError(
            f"{source.name} makes images of {source.image_shape[0]} channel(s), which can't be fitted to "
            f"{channels}: only grey (1) and RGB (3) can be fitted to each other"
        )
    if latent_dim is not None and latent_dim < 1:
        raise UsageError(f"latent_dim must be at least 1, not {latent_dim}")
    if classes and len(classes) != num_classes:
        raise UsageError(
            f"{num_classes} classes need {num_classes} names, not {len(classes)}: {', '.join(classes)}"
        )


def fit_network(
    role: str, source: GAN, target: Mapping[str, int], positions: Sequence[int | None]
) -> tuple[dict[str, Any], Any, list[Match]]:
    """Fit one network, at the width that reuses most weights. Returns its part, the network, its matches."""
    part, old = source.parts[role], getattr(source, role)
    kind = registry.REGISTRIES[f"{role}s"]
    takes = kind.configure(part["name"], **part["config"])
    changes = {k: v for k, v in target.items() if k in takes}
    if takes.get("num_classes") and not num_classes_of(old):
        changes.pop("num_classes")  # here it is the number of classes of a nested backbone
    reshaped = source.image_shape[:2] != (target["channels"], target["image_size"])
    for key in ("image_size", "channels") if reshaped else ():
        if key not in takes:
            raise UsageError(f"{role} {part['name']!r} takes no {key}, so it can't be fitted to other images")
    differs = num_classes_of(old) != target["num_classes"] and (num_classes_of(old) or role == "generator")
    if differs and "num_classes" not in takes:
        raise UsageError(
            f"{role} {part['name']!r} takes no num_classes, so it can't be fitted to "
            f"{target['num_classes']} classes"
        )
    config = with_best_width(role, source, takes | changes, positions)
    network = kind.build_empty(part["name"], **config)
    matches, _ = fill(role, old, network, positions)
    recomputed = renormalise(
        network, {match.tensor for match in matches if match.how in ("adapted", "fresh")}
    )
    resized = source.image_shape[1] != target["image_size"] or target["latent_dim"] < source.latent_dim
    if role == "generator" and resized:
        recomputed |= recompute_statistics(network.eval())
    fresh = {"how": "fresh", "note": RECOMPUTED}
    matches = [replace(m, **fresh) if m.tensor in recomputed and m.how != "dropped" else m for m in matches]
    return {"name": part["name"], "config": config}, network.eval(), matches


def with_best_width(
    role: str, source: GAN, config: dict[str, Any], positions: Sequence[int | None]
) -> dict[str, Any]:
    """`config` with the width that reuses most weights.

    Candidates are its own width and, for each block more or less, half and twice that; the first wins a tie.
    The networks are built on the meta device, which takes no memory.
    """
    kind, name = registry.REGISTRIES[f"{role}s"], source.parts[role]["name"]
    shapes = copy.deepcopy(getattr(source, role)).to("meta")
    configs: dict[int, dict[str, Any]] = {}  # by the number of reused weights
    errors, factors = [], [1.0]
    for factor in factors:
        width = {"width": int(config["width"] * factor)} if "width" in config else {}
        if width and width["width"] != config["width"] * factor:
            continue
        with torch.device("meta"):
            network = kind.build_empty(name, **config | width)
        if factor == 1 and width:
            more = abs(len(blocks(network)) - len(blocks(shapes)))
            factors += [2.0**power for k in range(1, more + 1) for power in (-k, k)]
        try:
            matches, reused = fill(role, shapes, network, positions)
        except UsageError as error:
            errors.append(error)
            continue
        configs.setdefault(reused, config | width)
        if {match.how for match in matches} <= {"reused", "adapted"}:
            break  # no other width can reuse more
    if not configs and len(factors) > 1:
        raise UsageError(
            f"{errors[0]}. Each added or dropped block needs half or twice the {role}'s width, and "
            f"{config['width']} may not be divisible by that: choose another size or another source"
        )
    if not configs:
        raise errors[0]
    return configs[max(configs)]


def fill(role: str, old: Any, new: Any, positions: Sequence[int | None]) -> tuple[list[Match], int]:
    """Fill `new` with weights of `old`. Returns the matches, and the number of reused or adapted elements.

    `positions` are those of the new classes among the old ones.
    """
    new_state, old_state = new.state_dict(), old.state_dict()
    matches, state, used = [], {}, set()
    for pair in pairs(role, old, new):
        tensor = old_state.get(pair.source or "")
        state[pair.name], match = take(pair, new_state[pair.name], tensor, old, new, positions)
        matches.append(match)
        if pair.source is not None and (pair.place, match.how) != ("loose", "fresh"):
            used.add(pair.source)
    new.load_state_dict(state)
    matches += [Match(role, name, "dropped") for name in old_state if name not in used]
    kept = {match.tensor for match in matches if match.how in ("reused", "adapted")}
    return matches, sum(state[name].numel() for name in kept)


@torch.no_grad()
def recompute_statistics(generator: Any) -> set[str]:
    """Recompute the statistics of all BatchNorms, which depend on the size of the grid and on earlier blocks.

    Returns the names of the buffers.
    """
    norms = {
        name: layer
        for name, layer in generator.named_modules()
        if isinstance(layer, nn.modules.batchnorm._BatchNorm) and layer.track_running_stats
    }
    kept = {name: (layer.momentum, layer.num_batches_tracked) for name, layer in norms.items()}
    for number, start in enumerate(range(0, MEASURED, AT_ONCE), 1):
        seeds = range(start, start + AT_ONCE)
        for layer in norms.values():
            layer.train()
            layer.momentum, layer.num_batches_tracked = 1 / number, None  # the mean of all batches
        call(
            generator,
            latents(seeds, generator.latent_dim),
            drawn_classes(seeds, num_classes_of(generator) or 1),
        )
    for name, layer in norms.items():
        layer.eval()
        layer.momentum, layer.num_batches_tracked = kept[name]
    return {f"{name}.running_{key}" for name in norms for key in ("mean", "var")}
