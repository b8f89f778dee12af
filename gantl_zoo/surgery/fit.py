"""Fit a GAN's weights to another image size, number of channels, set of classes or latent size.

All blocks are kept. For larger images, blocks that change nothing at first are added (`sizes.py`). A `Match`
says where each tensor comes from; a tensor that no rule covers is an error. The rules are in `matching.py`,
those for classes in `class_tables.py`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.model.sampling import drawn_classes, latents
from gantl_zoo.networks.base import call, num_classes_of
from gantl_zoo.surgery.class_tables import class_positions, renormalise
from gantl_zoo.surgery.matching import RECOMPUTED, Match, Pair, as_lineage, take
from gantl_zoo.surgery.sizes import fitted_part, size_note

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
    parts, networks, report, notes = {}, {}, [], {}
    for role in source.parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts[role], networks[role], matches = fit_network(role, source, target, positions)
        report += matches
        notes[role] = size_note(role, getattr(source, role), networks[role])
    networks.setdefault("discriminator", None)
    lineage = as_lineage(report)
    for role, note in notes.items():
        lineage[role] |= {"size": note} if note else {}
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
    """Fit one network. Returns its part, the network and its matches."""
    old = getattr(source, role)
    part = fitted_part(role, source.parts[role], old, target)
    network = registry.REGISTRIES[f"{role}s"].build_empty(part["name"], **part["config"])
    matches = fill(Pair(role, old, network, positions))
    recomputed = renormalise(network, {match.tensor for match in matches if match.how == "adapted"})
    if role == "generator" and target["latent_dim"] < source.latent_dim:
        recomputed |= recompute_statistics(network.eval())
    fresh = {"how": "fresh", "note": RECOMPUTED}
    matches = [replace(m, **fresh) if m.tensor in recomputed and m.how != "dropped" else m for m in matches]
    return part, network.eval(), matches


def fill(pair: Pair) -> list[Match]:
    """Fill the network `pair.after` with weights of `pair.before`. Returns the matches."""
    new_state, old_state = pair.after.state_dict(), pair.before.state_dict()
    matches, state = [], {}
    for name, tensor in new_state.items():
        state[name], match = take(pair, name, tensor, old_state.get(pair.source_of(name)))
        matches.append(match)
    pair.after.load_state_dict(state)
    used = {pair.source_of(name) for name in new_state}
    return matches + [Match(pair.role, name, "dropped") for name in old_state if name not in used]


@torch.no_grad()
def recompute_statistics(generator: Any) -> set[str]:
    """Recompute the statistics of all BatchNorms, which depend on all of the latent vector.

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
