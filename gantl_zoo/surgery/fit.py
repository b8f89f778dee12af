"""Fit a GAN's weights to other images: other channels, another size, another latent, other classes.

Blocks are matched from the end that stays what it is (the generator's latent, the discriminator's logits);
new ones are added, or old ones dropped, next to the image. Where each tensor comes from is a `Match`, and
what no rule explains is an error: nothing is skipped in silence. The rules are in `matching.py`, those for
classes in `classes.py`.
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
from gantl_zoo.surgery.class_tables import places, renormalise
from gantl_zoo.surgery.matching import Match, as_lineage, pairs, take

MEASURED, AT_ONCE = 256, 32  # images from which statistics are measured anew


def fitted(
    source: GAN,
    image_shape: tuple[int, int, int],
    seed: int,
    classes: Sequence[str] | None = None,
    latent_dim: int | None = None,
) -> GAN:
    """`source`, or, if it makes images of another shape or classes, or from other latents, its copy for
    these; `about` keeps the report and the classes.
    """
    count = source.num_classes if classes is None else len(classes)
    moved = places(classes_of(source), classes or ())
    as_asked = source.image_shape == image_shape and latent_dim in (None, source.latent_dim)
    if as_asked and count == source.num_classes and not moved:
        return source
    return adapt(source, image_shape, latent_dim, count, seed=seed, classes=classes or ())[0]


def classes_of(gan: GAN) -> list[str]:
    """The names of the classes that it is conditioned on, if each has one."""
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
    """A copy of `source` for images (C, H, W) and, if given, latents of another size, or other classes (0:
    none); and the match report, which its `about` keeps too. What was measured of the source is not its own.

    `seed` is that of fresh weights. `classes` names those to come: one that the source knows by that name
    starts from its own. Raises `UsageError` if a network can't be built for such images, latents or classes,
    or a tensor's new shape can't be explained.
    """
    count = (len(classes) or source.num_classes) if num_classes is None else num_classes
    check_wanted(source, image_shape, latent_dim, count, classes)
    named = list(classes) or (classes_of(source) if count == source.num_classes else [])
    stand = places(classes_of(source), classes)
    wanted = {"channels": image_shape[0], "image_size": image_shape[1], "num_classes": count}
    wanted["latent_dim"] = source.latent_dim if latent_dim is None else latent_dim
    parts, networks, report, widths = {}, {}, [], {}
    for role in source.parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts[role], networks[role], matches = best(role, source, wanted, stand)
        report += matches
        widths[role] = [part["config"].get("width") for part in (source.parts[role], parts[role])]
    networks.setdefault("discriminator", None)
    said = as_lineage(report)
    for role, (before, after) in widths.items():
        said[role] |= {"width": f"{before} to {after}"} if before != after else {}
    about: dict[str, Any] = {k: source.about[k] for k in ("lineage", "license", "hub") if k in source.about}
    about |= {"fitted": said} | ({"training": {"classes": named}} if named else {})
    return replace(source, parts=parts, about=about, **networks), report


def check_wanted(
    source: GAN,
    image_shape: tuple[int, int, int],
    latent_dim: int | None,
    num_classes: int,
    classes: Sequence[str],
) -> None:
    """Raises `UsageError` for images, latents or classes that no network could be fitted to."""
    channels, height, width = image_shape
    if height != width:
        raise UsageError(f"networks make square images, so none can be fitted to {height}×{width}")
    if channels != source.image_shape[0] and {channels, source.image_shape[0]} != {1, 3}:
        raise UsageError(
            f"{source.name} makes images of {source.image_shape[0]} channel(s), which can't be fitted to "
            f"{channels}: only grey (1) and RGB (3) can, to each other"
        )
    if latent_dim is not None and latent_dim < 1:
        raise UsageError(f"latent_dim must be at least 1, not {latent_dim}")
    if classes and len(classes) != num_classes:
        raise UsageError(f"{len(classes)} names for {num_classes} classes: {', '.join(classes)}")


def best(
    role: str, source: GAN, wanted: Mapping[str, int], stand: Sequence[int | None]
) -> tuple[dict[str, Any], Any, list[Match]]:
    """The network of another shape, at the width at which it takes over most numbers."""
    part, old = source.parts[role], getattr(source, role)
    kind = registry.REGISTRIES[f"{role}s"]
    takes = kind.configure(part["name"], **part["config"])
    changes = {k: v for k, v in wanted.items() if k in takes}
    if takes.get("num_classes") and not num_classes_of(old):
        changes.pop("num_classes")  # it is the business of a backbone inside
    reshaped = source.image_shape[:2] != (wanted["channels"], wanted["image_size"])
    for key in ("image_size", "channels") if reshaped else ():
        if key not in takes:
            raise UsageError(f"{role} {part['name']!r} takes no {key}, so it can't be fitted to other images")
    differs = num_classes_of(old) != wanted["num_classes"] and (num_classes_of(old) or role == "generator")
    if differs and "num_classes" not in takes:
        raise UsageError(
            f"{role} {part['name']!r} takes no num_classes, so it can't be fitted to "
            f"{wanted['num_classes']} classes"
        )
    config = widest_match(role, source, takes | changes, stand)
    network = kind.build_empty(part["name"], **config)
    matches, _ = fill(role, old, network, stand)
    anew = renormalise(network, {match.tensor for match in matches if match.how in ("adapted", "fresh")})
    resized = source.image_shape[1] != wanted["image_size"] or wanted["latent_dim"] < source.latent_dim
    if role == "generator" and resized:
        anew |= measure(network.eval())
    news = {"how": "fresh", "note": "measured anew"}
    matches = [replace(m, **news) if m.tensor in anew and m.how != "dropped" else m for m in matches]
    return {"name": part["name"], "config": config}, network.eval(), matches


def widest_match(
    role: str, source: GAN, config: dict[str, Any], stand: Sequence[int | None]
) -> dict[str, Any]:
    """`config` at the width at which most numbers are taken over: its own or, for each block more or less,
    twice or half of it; of equals the first. Networks are compared on the meta device, without memory.
    """
    kind, name = registry.REGISTRIES[f"{role}s"], source.parts[role]["name"]
    shapes = copy.deepcopy(getattr(source, role)).to("meta")
    found: dict[int, dict[str, Any]] = {}
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
            matches, taken = fill(role, shapes, network, stand)
        except UsageError as error:
            errors.append(error)
            continue
        found.setdefault(taken, config | width)
        if {match.how for match in matches} <= {"reused", "adapted"}:
            break  # no other width can take over more
    if not found and len(factors) > 1:
        raise UsageError(
            f"{errors[0]}. Each block more or less needs half or twice the {role}'s width, and "
            f"{config['width']} may be no multiple of a power of 2: choose another size or another source"
        )
    if not found:
        raise errors[0]
    return found[max(found)]


def fill(role: str, old: Any, new: Any, stand: Sequence[int | None]) -> tuple[list[Match], int]:
    """Fill `new` from `old`, in which its classes `stand` somewhere; returns the report, and how many numbers
    were taken over.
    """
    ours, theirs = new.state_dict(), old.state_dict()
    matches, state, used = [], {}, set()
    for pair in pairs(role, old, new):
        known = theirs.get(pair.source or "")
        state[pair.name], match = take(pair, ours[pair.name], known, old, new, stand)
        matches.append(match)
        if pair.source is not None and (pair.place, match.how) != ("loose", "fresh"):
            used.add(pair.source)
    new.load_state_dict(state)
    matches += [Match(role, name, "dropped") for name in theirs if name not in used]
    kept = {match.tensor for match in matches if match.how in ("reused", "adapted")}
    return matches, sum(state[name].numel() for name in kept)


@torch.no_grad()
def measure(generator: Any) -> set[str]:
    """Measure the statistics of its BatchNorms anew, which another grid or another block before them has
    changed; returns their names.
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
    return {f"{name}.running_{what}" for name in norms for what in ("mean", "var")}
