"""How each tensor of a network for other images comes from one of the source's: pairs, rules, the report.

Z latent size, K channels of a feature map.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.base import blocks
from gantl_zoo.surgery.class_tables import NORMED, by_name, for_classes

COLOURED = "grey to RGB"
GRIDS = (4, 7)  # sides of the smallest feature map


@dataclass(frozen=True)
class Match:
    """Where one tensor of the fitted network comes from, or where one of the source's went."""

    role: str
    tensor: str
    how: str  # "reused", "adapted", "fresh" or "dropped"
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """A tensor of the new network, the one of the source that it comes from, if any, and where it stands:
    "fixed" (the end that stays), "inner", "image" (next to the image), "loose" (the same, where that block
    may have another width) or "added".
    """

    role: str
    name: str
    source: str | None
    place: str


def pairs(role: str, old: Any, new: Any) -> Iterator[Pair]:
    """Each tensor of `new`, paired."""
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
            yield Pair(role, names.pop(id(tensor)), olds.get(id(there.get(key))), place)
    for name in list(names.values()):  # of no block: a frozen backbone
        yield Pair(role, name, name if name in olds.values() else None, "image")


def take(
    pair: Pair, new: Tensor, old: Tensor | None, before: Any, after: Any, stand: Sequence[int | None]
) -> tuple[Tensor, Match]:
    """The tensor's value and where it comes from; `stand` says where the classes stood, if names tell."""
    role, name = pair.role, pair.name
    if pair.place == "added":
        return new, Match(role, name, "fresh", "in a block that was added")
    if named := by_name(pair.name, pair.source, old, before, after, stand):
        old = named[0]
    notes = [named[1]] if named else []
    result = old
    if not named and (found := for_classes(pair.source or name, new, old, before, after)):
        result, notes = found[0], [found[1]]
    elif old is not None and old.shape == new.shape:
        notes += strides(pair, before, after)
        return old.clone(), Match(role, name, "adapted" if notes else "reused", ", ".join(notes))
    elif old is not None and name.rsplit(".", 1)[-1] in ("_u", "_v"):
        return new, Match(role, name, "fresh", "measured anew")
    for dim in range(new.ndim) if result is not None and result.ndim == new.ndim else ():
        if result is not None and result.shape[dim] != new.shape[dim]:
            made = change(result, dim, new.shape[dim], role, pair.place, before, after)
            result = None if made is None else made[0]
            notes += [] if made is None else [made[1]]
    if result is not None and result.shape == new.shape:
        notes += strides(pair, before, after)
        if name.endswith("parametrizations.weight.original") and NORMED not in ", ".join(notes):
            notes.append(NORMED)
        return result, Match(role, name, "fresh" if old is None else "adapted", ", ".join(notes))
    if pair.place == "loose":
        return new, Match(role, name, "fresh", "the block next to the image is another one")
    was = "is not there" if old is None else f"is {tuple(old.shape)}"
    raise UsageError(
        f"the {role}'s tensor {name} {was} in the source and {tuple(new.shape)} in the network for these "
        "images; nothing explains how to get from one to the other"
    )


def strides(pair: Pair, before: Any, after: Any) -> list[str]:
    """Does the kernel step otherwise in the new network? As a note."""
    if pair.source is None:
        return []
    found = []
    for network, name in ((before, pair.source), (after, pair.name)):
        layer, _, rest = name.removesuffix(".parametrizations.weight.original").rpartition(".")
        layer = f"{layer}.{rest}" if name.endswith(".original") else layer
        found.append(getattr(network.get_submodule(layer), "stride", None) if "weight" in name else None)
    old, new = found
    return [f"stride {old[0]} to {new[0]}"] if old and new and old != new else []


def change(
    tensor: Tensor, dim: int, size: int, role: str, place: str, before: Any, after: Any
) -> tuple[Tensor, str] | None:
    """The tensor with `size` entries along `dim` and how that was done; None if no rule says how."""
    old = tensor.shape[dim]
    if place in ("image", "loose") and {old, size} == {1, 3}:
        # a generator's colours are alike at first; a discriminator adds up its input channels
        part = 1 if role == "generator" else 1 / 3
        if size == 3:
            return tensor.repeat_interleave(3, dim) * part, COLOURED
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
    """A report as `as_lineage` gives it, for people: counts, then every tensor and what became of it."""
    lines = []
    for role, found in report.items():
        said = ", ".join(f"{len(tensors)} {how}" for how, tensors in found.items() if how != "width")
        lines.append(f"fitted {role}: of its tensors {said}")
        if "width" in found:
            lines.append(f"  width {found['width']}, so that what is further inside meets")
        lines += [
            f"  {name}: {how} ({note})" for how in ("adapted", "fresh") for name, note in found[how].items()
        ]
        lines += [f"  {name}: {how}" for how in ("dropped", "reused") for name in found[how]]
    return "\n".join(lines)
