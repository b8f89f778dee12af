"""Match the tensors of a fitted network with those of its source: pairs, conversion rules, report.

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
from gantl_zoo.surgery.class_tables import NORMED, convert_classes, reorder_rows

COLOURED, RECOMPUTED = "grey to RGB", "recomputed"
GRIDS = (4, 7)  # sides of the smallest feature map


@dataclass(frozen=True)
class Match:
    """Where one tensor of the fitted network comes from; or a tensor of the source that was dropped."""

    role: str
    tensor: str
    how: str  # "reused", "adapted", "fresh" or "dropped"
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """A tensor of the new network, the source's tensor that it comes from, if any, and its place.

    The place is "fixed" (the end that doesn't change), "inner", "image" (next to the image), "loose" (next to
    the image, with blocks added or dropped before it, so it may have another width) or "added".
    """

    role: str
    name: str
    source: str | None
    place: str


def pairs(role: str, old: Any, new: Any) -> Iterator[Pair]:
    """Pair each tensor of `new` with a tensor of `old`."""
    order = 1 if role == "generator" else -1
    new_blocks, old_blocks = blocks(new)[::order], blocks(old)[::order]
    count, last = min(len(new_blocks), len(old_blocks)), len(new_blocks) - 1
    names = {id(t): name for name, t in new.state_dict(keep_vars=True).items()}
    old_names = {id(t): name for name, t in old.state_dict(keep_vars=True).items()}
    for i, block in enumerate(new_blocks):
        if i == last:
            partner, place = old_blocks[-1], "image" if len(new_blocks) == len(old_blocks) else "loose"
        elif i < count - 1:
            partner, place = old_blocks[i], "inner" if i else "fixed"
        else:
            partner, place = None, "added"
        tensors = partner.state_dict(keep_vars=True) if partner is not None else {}
        for key, tensor in block.state_dict(keep_vars=True).items():
            yield Pair(role, names.pop(id(tensor)), old_names.get(id(tensors.get(key))), place)
    for name in list(names.values()):  # tensors outside all blocks, such as a frozen backbone
        yield Pair(role, name, name if name in old_names.values() else None, "image")


def take(
    pair: Pair, new: Tensor, old: Tensor | None, before: Any, after: Any, positions: Sequence[int | None]
) -> tuple[Tensor, Match]:
    """The value of a new tensor, and its match.

    `positions` are those of the new classes among the old ones. Raises `UsageError` if no rule applies.
    """
    role, name = pair.role, pair.name
    if pair.place == "added":
        return new, Match(role, name, "fresh", "in an added block")
    if named := reorder_rows(pair.name, pair.source, old, before, after, positions):
        old = named[0]
    notes = [named[1]] if named else []
    result = old
    if not named and (converted := convert_classes(name, pair.source, new, old, before, after)):
        result, notes = converted[0], [converted[1]]
    elif old is not None and old.shape == new.shape:
        notes += strides(pair, before, after)
        return old.clone(), Match(role, name, "adapted" if notes else "reused", ", ".join(notes))
    elif old is not None and name.rsplit(".", 1)[-1] in ("_u", "_v"):
        return new, Match(role, name, "fresh", RECOMPUTED)
    if result is not None and (regridded := resize_map(result, new, pair.place)):
        result = regridded[0]
        notes.append(regridded[1])
    for dim in range(new.ndim) if result is not None and result.ndim == new.ndim else ():
        if result is not None and result.shape[dim] != new.shape[dim]:
            resized = resize(result, dim, new.shape[dim], role, pair.place, before, after)
            result = None if resized is None else resized[0]
            notes += [] if resized is None else [resized[1]]
    if result is not None and result.shape == new.shape:
        notes += strides(pair, before, after)
        if name.endswith("parametrizations.weight.original") and NORMED not in ", ".join(notes):
            notes.append(NORMED)
        return result, Match(role, name, "fresh" if old is None else "adapted", ", ".join(notes))
    if pair.place == "loose":
        return new, Match(role, name, "fresh", "the block next to the image has another shape")
    if getattr(after, "fresh_if_reshaped", False):
        return new, Match(role, name, "fresh", "its shape depends on the size of the images")
    before_shape = "missing" if old is None else f"{tuple(old.shape)}"
    raise UsageError(
        f"the {role}'s tensor {name} is {before_shape} in the source and {tuple(new.shape)} in the network "
        "for these images; no rule converts one to the other, so choose another size or another source"
    )


def strides(pair: Pair, before: Any, after: Any) -> list[str]:
    """A note if the convolution of this kernel has another stride in the new network, else an empty list."""
    if pair.source is None:
        return []
    steps = []
    for network, name in ((before, pair.source), (after, pair.name)):
        layer, _, suffix = name.removesuffix(".parametrizations.weight.original").rpartition(".")
        layer = f"{layer}.{suffix}" if name.endswith(".original") else layer
        steps.append(getattr(network.get_submodule(layer), "stride", None) if "weight" in name else None)
    old, new = steps
    return [f"stride {old[0]} to {new[0]}"] if old and new and old != new else []


def resize(
    tensor: Tensor, dim: int, size: int, role: str, place: str, before: Any, after: Any
) -> tuple[Tensor, str] | None:
    """Convert the tensor to `size` along `dim`; returns it and a note, or None if no rule applies."""
    old = tensor.shape[dim]
    if place in ("image", "loose") and {old, size} == {1, 3}:
        # a generator starts with equal colour channels; a discriminator sums over its input channels
        scale = 1 if role == "generator" else 1 / 3
        if size == 3:
            return tensor.repeat_interleave(3, dim) * scale, COLOURED
        return tensor.mean(dim, keepdim=True) / scale, "RGB to grey"
    if place != "fixed":
        return None
    if role == "generator" and (old, size) == (before.latent_dim, after.latent_dim):
        kept = tensor.narrow(dim, 0, min(old, size))
        more = kept.new_zeros(*kept.shape[:dim], max(0, size - old), *kept.shape[dim + 1 :])
        return torch.cat([kept, more], dim), f"latent {old} to {size}"
    for a in GRIDS:
        for b in GRIDS:
            if old % a**2 == 0 and old // a**2 * b**2 == size:
                return regrid(tensor, dim, a, b), f"grid {a}×{a} to {b}×{b}"
    return None


def resize_map(tensor: Tensor, new: Tensor, place: str) -> tuple[Tensor, str] | None:
    """Resample a tensor with a value for each place of the smallest grid, (K, a, a) or (K, 1, a, a).

    As in `regrid`, weights of a convolution over the whole grid (4 dimensions) are scaled to keep their sum.
    """
    (old_side, side), outer = (t.shape[-1] for t in (tensor, new)), tensor.shape[:-2]
    square = tensor.ndim >= 3 and tensor.shape == (*outer, old_side, old_side)
    if place != "fixed" or not square or new.shape != (*outer, side, side) or old_side == side:
        return None
    if not {old_side, side} <= set(GRIDS):
        return None
    flat = tensor.reshape(-1, old_side**2)
    resized = regrid(flat, 1, old_side, side) if tensor.ndim == 4 else regrid(flat.T, 0, old_side, side).T
    return resized.reshape(new.shape), f"grid {old_side}×{old_side} to {side}×{side}"


def regrid(tensor: Tensor, dim: int, old: int, new: int) -> Tensor:
    """Resample the K·old·old entries along `dim` to K·new·new, each feature map separately.

    A linear layer with a grid as its input sums over it, so its weights are scaled to keep the sum. The
    weights of one with a grid as its output are not scaled.
    """
    moved = tensor.movedim(dim, -1)  # (…, K·old·old)
    maps = moved.reshape(-1, moved.shape[-1] // old**2, old, old)
    maps = functional.interpolate(maps, size=(new, new), mode="bilinear", align_corners=False, antialias=True)
    scale = (old / new) ** 2 if dim == 1 else 1.0
    return (maps * scale).reshape(*moved.shape[:-1], -1).movedim(-1, dim).contiguous()


def as_lineage(report: list[Match]) -> dict[str, dict[str, Any]]:
    """The report in the form of `config.json`: tensors by role and by `Match.how`."""
    lineage: dict[str, dict[str, Any]] = {}
    for match in report:
        tensors = lineage.setdefault(match.role, {"reused": [], "adapted": {}, "fresh": {}, "dropped": []})
        if match.how in ("adapted", "fresh"):
            tensors[match.how][match.tensor] = match.note
        else:
            tensors[match.how].append(match.tensor)
    return lineage


def summary(report: Mapping[str, Mapping[str, Any]]) -> str:
    """Format a report of `as_lineage` as text: counts, then what happened to each tensor."""
    lines = []
    for role, tensors in report.items():
        counts = ", ".join(f"{len(names)} {how}" for how, names in tensors.items() if how != "width")
        lines.append(f"fitted {role}: tensors: {counts}")
        if "width" in tensors:
            lines.append(f"  width {tensors['width']}, so that the inner blocks keep their shapes")
        lines += [
            f"  {name}: {how} ({note})" for how in ("adapted", "fresh") for name, note in tensors[how].items()
        ]
        lines += [f"  {name}: {how}" for how in ("dropped", "reused") for name in tensors[how]]
    return "\n".join(lines)
