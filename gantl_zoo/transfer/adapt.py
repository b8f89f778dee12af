"""Fit a GAN's weights to other images: other channels, another size, another latent, other classes.

Blocks are matched from the end that stays what it is (the generator's latent, the discriminator's logits);
new ones are added, or old ones dropped, next to the image. Where each tensor comes from is a `Match`, and
what no rule explains is an error: nothing is skipped in silence. Classes have rules of their own
(`classes.py`).

Z latent size, K channels of a feature map.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo import registry
from gantl_zoo.errors import UsageError
from gantl_zoo.gan import GAN, knows
from gantl_zoo.transfer.classes import by_name, for_classes, places, settle
from gantl_zoo.transfer.strategy import blocks

WIDTHS = (1, 1 / 2, 2, 1 / 4, 4, 1 / 8, 8)  # times the source's, tried so that channels meet
GRIDS = (4, 7)  # sides of the smallest feature map


@dataclass(frozen=True)
class Match:
    """Where one tensor of the fitted network comes from, or where one of the source's went."""

    role: str
    tensor: str
    how: str  # "reused", "adapted", "fresh" or "dropped"
    note: str = ""


def fitted(
    source: GAN, image_shape: tuple[int, int, int], seed: int, classes: Sequence[str] | None = None
) -> GAN:
    """`source`, or, if it makes images of another shape or classes, its copy for these; `about` keeps the
    report and the classes.
    """
    count = source.num_classes if classes is None else len(classes)
    moved = places(classes_of(source), classes or ())
    if source.image_shape == image_shape and count == source.num_classes and not moved:
        return source
    made, report = adapt(source, image_shape, num_classes=count, seed=seed, classes=classes or ())
    made.about["fitted"] = as_lineage(report)
    if classes:
        made.about["training"] = source.about.get("training", {}) | {"classes": list(classes)}
    return made


def classes_of(gan: GAN) -> list[str]:
    """The names of the classes that it knows, if each has one."""
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
    none); and the match report.

    `seed` is that of fresh weights. `classes` names those to come: one that the source knows by that name
    starts from its own. Raises `UsageError` if a network can't be built for such images or classes, or a
    tensor's new shape can't be explained.
    """
    channels, side, _ = image_shape
    wanted = {
        "channels": channels,
        "image_size": side,
        "latent_dim": latent_dim or source.latent_dim,
        "num_classes": source.num_classes if num_classes is None else num_classes,
    }
    stand = places(classes_of(source), classes) if wanted["num_classes"] == len(classes) else []
    parts, networks, report = {}, {}, []
    for role in source.parts:
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            parts[role], networks[role], matches = best(role, source, wanted, stand)
        report += matches
    networks.setdefault("discriminator", None)
    return replace(source, parts=parts, about=dict(source.about), **networks), report


def best(
    role: str, source: GAN, wanted: Mapping[str, int], stand: Sequence[int | None]
) -> tuple[dict[str, Any], Any, list[Match]]:
    """The network of another shape, at the width at which it takes over most numbers."""
    part, old = source.parts[role], getattr(source, role)
    kind = registry.REGISTRIES[f"{role}s"]
    takes = kind.configure(part["name"], **part["config"])
    changes = {k: v for k, v in wanted.items() if k in takes}
    if takes.get("num_classes") and not knows(old):
        changes.pop("num_classes")  # it is the business of a backbone inside
    reshaped = source.image_shape[:2] != (wanted["channels"], wanted["image_size"])
    for key in ("image_size", "channels") if reshaped else ():
        if key not in takes:
            raise UsageError(f"{role} {part['name']!r} takes no {key}, so it can't be fitted to other images")
    differs = knows(old) != wanted["num_classes"] and (knows(old) or role == "generator")
    if differs and "num_classes" not in takes:
        raise UsageError(
            f"{role} {part['name']!r} takes no num_classes, so it can't be fitted to "
            f"{wanted['num_classes']} classes"
        )
    factors = WIDTHS if "width" in takes and reshaped else (1,)
    config = widest_match(role, source, takes | changes, factors, stand)
    network = kind.build_empty(part["name"], **config)
    matches, _ = fill(role, old, network, stand)
    return {"name": part["name"], "config": config}, network.eval(), matches


def widest_match(
    role: str,
    source: GAN,
    config: dict[str, Any],
    factors: Sequence[float],
    stand: Sequence[int | None],
) -> dict[str, Any]:
    """`config` at the width, times one of the `factors`, at which most numbers are taken over; of equals the
    first. Networks are compared on the meta device, where they take no memory.
    """
    kind, name = registry.REGISTRIES[f"{role}s"], source.parts[role]["name"]
    shapes = copy.deepcopy(getattr(source, role)).to("meta")
    found: dict[int, dict[str, Any]] = {}
    errors = []
    for factor in factors:
        width = {"width": int(config["width"] * factor)} if "width" in config else {}
        if width.get("width") == 0 or (width and width["width"] != config["width"] * factor):
            continue
        with torch.device("meta"):
            network = kind.build_empty(name, **config | width)
        try:
            matches, taken = fill(role, shapes, network, stand)
        except UsageError as error:
            errors.append(error)
            continue
        found.setdefault(taken, config | width)
        if {match.how for match in matches} <= {"reused", "adapted"}:
            break  # no other width can take over more
    if not found:
        raise errors[0]
    return found[max(found)]


def fill(role: str, old: Any, new: Any, stand: Sequence[int | None]) -> tuple[list[Match], int]:
    """Fill `new` from `old`, in which its classes `stand` somewhere; returns the report, and how many numbers
    were taken over.
    """
    ours, theirs = new.state_dict(), old.state_dict()
    matches, state, used = [], {}, set()
    for name, source, place in pairs(role, old, new):
        known = theirs.get(source or "")
        named = None if known is None else by_name(name, known, old, new, stand)
        tensor, match = take(role, name, ours[name], named[0] if named else known, place, old, new)
        if named:
            match = Match(role, name, "adapted", ", ".join(filter(None, (named[1], match.note))))
        state[name] = tensor
        matches.append(match)
        if source is not None and (place, match.how) != ("loose", "fresh"):
            used.add(source)
    new.load_state_dict(state)
    anew = settle(new, {match.tensor for match in matches if match.how != "reused"})
    matches = [Match(role, m.tensor, "fresh", "measured anew") if m.tensor in anew else m for m in matches]
    matches += [Match(role, name, "dropped") for name in theirs if name not in used]
    kept = {match.tensor for match in matches if match.how in ("reused", "adapted")}
    return matches, sum(state[name].numel() for name in kept)


def pairs(role: str, old: Any, new: Any) -> Iterator[tuple[str, str | None, str]]:
    """Each tensor of `new`, the one of `old` that it comes from, and where it stands: "fixed" (the end that
    stays), "inner", "image" (next to the image), "loose" (the same, where that block may have another width)
    or "added".
    """
    order = 1 if role == "generator" else -1
    ours, theirs = blocks(new)[::order], blocks(old)[::order]
    count, last = min(len(ours), len(theirs)), len(ours) - 1
    names = {id(t): name for name, t in new.state_dict(keep_vars=True).items()}
    olds = {id(t): name for name, t in old.state_dict(keep_vars=True).items()}
    for i, block in enumerate(ours):
        if i == last:
            partner, place = theirs[-1], "image" if len(ours) == len(theirs) else "loose"
        elif i < count - 1:
            partner, place = theirs[i], "inner" if i else "fixed"
        else:
            partner, place = None, "added"
        there = partner.state_dict(keep_vars=True) if partner is not None else {}
        for key, tensor in block.state_dict(keep_vars=True).items():
            yield names.pop(id(tensor)), olds.get(id(there.get(key))), place
    for name in list(names.values()):  # of no block: a frozen backbone
        yield name, name if name in olds.values() else None, "image"


def take(
    role: str, name: str, new: Tensor, old: Tensor | None, place: str, before: Any, after: Any
) -> tuple[Tensor, Match]:
    """The tensor's value and where it comes from."""
    if place == "added":
        return new, Match(role, name, "fresh", "in a block that was added")
    result, notes = old, list[str]()
    if (found := for_classes(name, new, old, before, after)) is not None:
        result, notes = found[0], [found[1]]
    elif old is not None and old.shape == new.shape:
        return old.clone(), Match(role, name, "reused")
    elif old is not None and name.rsplit(".", 1)[-1] in ("_u", "_v"):
        return new, Match(role, name, "fresh", "measured anew")
    for dim in range(new.ndim) if result is not None and result.ndim == new.ndim else ():
        if result is not None and result.shape[dim] != new.shape[dim]:
            made = change(result, dim, new.shape[dim], role, place, before, after)
            result = None if made is None else made[0]
            notes += [] if made is None else [made[1]]
    if result is not None and result.shape == new.shape:
        return result, Match(role, name, "fresh" if old is None else "adapted", ", ".join(notes))
    if place == "loose":
        return new, Match(role, name, "fresh", "the block next to the image is another one")
    was = "is not there" if old is None else f"is {tuple(old.shape)}"
    raise UsageError(
        f"the {role}'s tensor {name} {was} in the source and {tuple(new.shape)} in the network for these "
        "images; nothing explains how to get from one to the other"
    )


def change(
    tensor: Tensor, dim: int, size: int, role: str, place: str, before: Any, after: Any
) -> tuple[Tensor, str] | None:
    """The tensor with `size` entries along `dim` and how that was done; None if no rule says how."""
    old = tensor.shape[dim]
    if place in ("image", "loose") and {old, size} == {1, 3}:
        # a generator's colours are alike at first; a discriminator sees the sum of what comes in
        part = 1 if role == "generator" else 1 / 3
        if size == 3:
            return tensor.repeat_interleave(3, dim) * part, "grey to RGB"
        return tensor.mean(dim, keepdim=True) / part, "RGB to grey"
    if place != "fixed":
        return None
    if role == "generator" and (old, size) == (before.latent_dim, after.latent_dim):
        kept = tensor.narrow(dim, 0, min(old, size))
        more = kept.new_zeros(*kept.shape[:dim], max(0, size - old), *kept.shape[dim + 1 :])
        return torch.cat([kept, more], dim), f"latent {old} to {size}"
    for here in GRIDS:
        for there in GRIDS:
            if old % here**2 == 0 and old // here**2 * there**2 == size:
                return regrid(tensor, dim, here, there), f"grid {here}×{here} to {there}×{there}"
    return None


def regrid(tensor: Tensor, dim: int, here: int, there: int) -> Tensor:
    """Resample the K·here·here entries along `dim` to K·there·there, each feature map by itself.

    A linear layer that reads a grid sums over it, so its entries are scaled to keep the sum; one that writes
    a grid is not.
    """
    moved = tensor.movedim(dim, -1)  # (…, K·h·h)
    maps = moved.reshape(-1, moved.shape[-1] // here**2, here, here)
    maps = functional.interpolate(
        maps, size=(there, there), mode="bilinear", align_corners=False, antialias=True
    )
    scale = (here / there) ** 2 if dim == 1 else 1.0
    return (maps * scale).reshape(*moved.shape[:-1], -1).movedim(-1, dim).contiguous()


def as_lineage(report: list[Match]) -> dict[str, dict[str, Any]]:
    """The report as `config.json` keeps it: by role and by what happened."""
    found: dict[str, dict[str, Any]] = {}
    for match in report:
        kept = found.setdefault(match.role, {"reused": [], "adapted": {}, "fresh": {}, "dropped": []})
        if match.how in ("adapted", "fresh"):
            kept[match.how][match.tensor] = match.note
        else:
            kept[match.how].append(match.tensor)
    return found


def summary(report: Mapping[str, Mapping[str, Any]]) -> str:
    """A report as `as_lineage` gives it, for people: counts, then every tensor that is not simply reused."""
    lines = []
    for role, found in report.items():
        said = ", ".join(f"{len(tensors)} {how}" for how, tensors in found.items())
        lines.append(f"fitted {role}: of its tensors {said}")
        lines += [
            f"  {name}: {how} ({note})" for how in ("adapted", "fresh") for name, note in found[how].items()
        ]
        lines += [f"  {name}: dropped" for name in found["dropped"]]
    return "\n".join(lines)
