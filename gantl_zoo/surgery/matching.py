"""Match the tensors of a fitted network with those of its source: names, conversion rules, report.

Z latent size, C channels of the images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from gantl_zoo.errors import UsageError
from gantl_zoo.networks.grown_networks import Grown
from gantl_zoo.networks.packed import PackedDiscriminator
from gantl_zoo.surgery.class_tables import NORMED, convert_classes, reorder_rows, weight_scale

COLOURED, RECOMPUTED = "grey to RGB", "recomputed"
INNER, ADDED = "inner.", "added."  # what the names of a grown network's tensors begin with


@dataclass(frozen=True)
class Match:
    """Where one tensor of the fitted network comes from; or a tensor of the source that was dropped."""

    role: str
    tensor: str
    how: str  # "reused", "adapted", "fresh" or "dropped"
    note: str = ""


@dataclass(frozen=True)
class Pair:
    """The network `before` of the source, and the network `after` to fill.

    `positions` are those of the new classes among the old ones.
    """

    role: str
    before: Any
    after: Any
    positions: Sequence[int | None] = ()

    def source_of(self, name: str) -> str:
        """The name in `before` of the tensor `name` of `after`, whether or not there is such a tensor."""
        grown = isinstance(self.before, Grown), isinstance(self.after, Grown)
        if grown == (True, False):
            return INNER + name
        return name.removeprefix(INNER) if grown == (False, True) else name


def take(pair: Pair, name: str, new: Tensor, old: Tensor | None) -> tuple[Tensor, Match]:
    """The value of the tensor `name` of the new network, and its match; `old` is the source's tensor.

    Raises `UsageError` if no rule applies.
    """
    role, before, after = pair.role, pair.before, pair.after
    source = pair.source_of(name)
    if old is None and isinstance(after, Grown) and name.startswith(ADDED):
        return new, Match(role, name, "fresh", "in an added block")
    partner = None if old is None else source
    named = reorder_rows(name, partner, old, before, after, pair.positions)
    old, notes = (named[0], [named[1]]) if named else (old, [])
    result = old
    if not named and (converted := convert_classes(name, partner, new, old, before, after)):
        result, notes = converted[0], [converted[1]]
    elif old is not None and old.shape == new.shape:
        return old.clone(), Match(role, name, "adapted" if notes else "reused", ", ".join(notes))
    elif old is not None and name.rsplit(".", 1)[-1] in ("_u", "_v"):
        return new, Match(role, name, "fresh", RECOMPUTED)
    for dim in range(new.ndim) if result is not None and result.ndim == new.ndim else ():
        if result is not None and result.shape[dim] != new.shape[dim]:
            resized = resize(pair, name, result, dim, new.shape[dim])
            result = None if resized is None else resized[0]
            notes += [] if resized is None else [resized[1]]
    if result is not None and result.shape == new.shape:
        if name.endswith("parametrizations.weight.original") and NORMED not in ", ".join(notes):
            notes.append(NORMED)
        return result, Match(role, name, "fresh" if old is None else "adapted", ", ".join(notes))
    if getattr(after, "any_size", False):
        return new, Match(role, name, "fresh", "its shape depends on the size of the images")
    before_shape = "missing" if old is None else f"{tuple(old.shape)}"
    raise UsageError(
        f"the {role}'s tensor {name} is {before_shape} in the source and {tuple(new.shape)} in the network "
        "for these images; no rule converts one to the other, so choose other images or another source"
    )


def resize(pair: Pair, name: str, tensor: Tensor, dim: int, size: int) -> tuple[Tensor, str] | None:
    """Convert the tensor to `size` along `dim`; returns it and a note, or None if no rule applies."""
    old = tensor.shape[dim]
    factor = weight_scale(pair.source_of(name), pair.before) / weight_scale(name, pair.after)
    latents = [getattr(network, "latent_dim", None) for network in (pair.before, pair.after)]
    if latents == [old, size]:
        kept = tensor.narrow(dim, 0, min(old, size))
        more = kept.new_zeros(*kept.shape[:dim], max(0, size - old), *kept.shape[dim + 1 :])
        return torch.cat([kept, more], dim) * factor, f"latent {old} to {size}"
    grey, colour = sorted((old, size))
    if colour != 3 * grey or grey not in packings(pair.after):
        return None
    # outputs start with equal colour channels; inputs are summed over the channels
    scale = 1 / 3 if tensor.ndim > 1 and dim == input_dim(pair.after, name) else 1
    if size == colour:
        return tensor.repeat_interleave(3, dim) * scale * factor, COLOURED
    return tensor.unfold(dim, 3, 3).mean(-1) / scale * factor, "RGB to grey"


def packings(network: nn.Module) -> set[int]:
    """Of how many images a layer may take or return the channels: 1, and the sizes of packs (`packed`)."""
    counts = {1}
    for packed in (module for module in network.modules() if isinstance(module, PackedDiscriminator)):
        counts |= {count * packed.pack for count in counts}
    return counts


def input_dim(network: nn.Module, name: str) -> int:
    """The dimension of the input channels of the layer with the weight `name`."""
    owner = network.get_submodule(name.removesuffix("parametrizations.weight.original").rpartition(".")[0])
    return 0 if isinstance(owner, (nn.ConvTranspose1d, nn.ConvTranspose2d)) else 1


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
        counts = ", ".join(f"{len(names)} {how}" for how, names in tensors.items() if how != "size")
        lines.append(f"fitted {role}: tensors: {counts}")
        lines += [f"  {tensors['size']}"] if "size" in tensors else []
        lines += [
            f"  {name}: {how} ({note})" for how in ("adapted", "fresh") for name, note in tensors[how].items()
        ]
        lines += [f"  {name}: {how}" for how in ("dropped", "reused") for name in tensors[how]]
    return "\n".join(lines)
