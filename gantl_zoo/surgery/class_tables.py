"""Rules of `adapt` for tensors of class-conditional networks when the classes change.

A new class starts from the source's class of the same name, otherwise from the mean of all of its classes. So
the fitted network first behaves like its source, or like the mean over the source's classes.

L classes; a class table is (L, …).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gantl_zoo.networks.base import num_classes_of
from gantl_zoo.networks.conditional import Projection

NORMED = "spectral norm recomputed"
ITERATIONS = 20  # power iterations, after which a spectral norm hardly changes
Converted = tuple[Tensor, str] | None  # a tensor and a note on where it comes from; None: no rule applies


def convert_classes(
    name: str, source: str | None, new: Tensor, old: Tensor | None, before: nn.Module, after: nn.Module
) -> Converted:
    """Convert the tensor `source` of the network `before` if the number of classes changes in `after`.

    `name` is its name in `after`. A layer's own rule comes first (`own_rule`).
    """
    counts = num_classes_of(before), num_classes_of(after)
    if counts[0] == counts[1]:
        return None
    if converted := own_rule(name, source, before, after):
        return converted
    source = source or name
    if old is None:
        return new_table(new, *counts)
    if folded := fold_projection(source, before, counts[1]):
        return folded
    first = new.movedim(class_dim(name, after), 0)
    converted = convert_table(effective_table(source, old, before), first, *counts)
    return converted and (stored_table(name, converted[0], after), converted[1])


def own_rule(name: str, source: str | None, before: nn.Module, after: nn.Module) -> Converted:
    """The value that the layer with the tensor `name` computes for it, if the layer has such a rule.

    The rule is a method `convert_classes(key, source)`. `key` is the tensor's name in the layer, and `source`
    the same layer of the network `before`; None if that network does not have the tensor.
    """
    path = name
    while path:
        path = path.rpartition(".")[0]  # "" is the network itself
        rule: Any = getattr(after.get_submodule(path), "convert_classes", None)
        if rule is not None:
            key = name.removeprefix(f"{path}.")
            owner = None if source is None else source.removesuffix(key).removesuffix(".")
            return cast(Converted, rule(key, None if owner is None else before.get_submodule(owner)))
    return None


def class_dim(name: str, network: nn.Module) -> int:
    """The dimension of the classes in the table `name`; layers state it as `class_dim`, by default 0."""
    owner, _, key = name.rpartition(".")
    return getattr(network.get_submodule(owner), "class_dim", 0) if key == "weight" else 0


def weight_scale(name: str, network: nn.Module) -> float:
    """The factor with which a layer uses its weight `name`, as it states in `weight_scale`; by default 1."""
    owner, _, key = name.rpartition(".")
    return getattr(network.get_submodule(owner), "weight_scale", 1.0) if key == "weight" else 1.0


def effective_table(name: str, table: Tensor, network: nn.Module) -> Tensor:
    """A class table (L, …) as the network uses it: with bounded rows if its projection is `bounded`."""
    owner: Any = network.get_submodule(name.rpartition(".")[0])
    if getattr(owner, "bounded", False):
        used: Tensor = owner.table().detach()
        return used
    return table.movedim(class_dim(name, network), 0) * weight_scale(name, network)


def stored_table(name: str, table: Tensor, network: nn.Module) -> Tensor:
    """The tensor `name` that a network has to store, so that it uses the class table (L, …)."""
    return table.movedim(0, class_dim(name, network)) / weight_scale(name, network)


def convert_table(old: Tensor, new: Tensor, before: int, after: int) -> Converted:
    """Convert a tensor from `before` to `after` classes; 0 means unconditional."""
    if not before and new.ndim == old.ndim + 1 and len(new) == after:
        return old.expand(after, *old.shape).clone(), f"the same for each of {after} classes"
    if not after and old.ndim == new.ndim + 1 and len(old) == before:
        return old.mean(0), f"mean of {before} classes"
    if before and after and old.ndim == new.ndim == 2 and (len(old), len(new)) == (before, after):
        return old.mean(0, keepdim=True).repeat(after, 1), f"mean of {before} classes for each of {after}"
    return None


def new_table(new: Tensor, before: int, after: int) -> Converted:
    """A class table without a counterpart in the source: zeros, which don't change the output."""
    if before or not after or new.ndim != 2 or len(new) != after:
        return None
    return torch.zeros_like(new), f"zero for each of {after} classes"


def fold_projection(name: str, old: nn.Module, after: int) -> Converted:
    """Add the mean row of a projection head to its linear weight `name`; None for other tensors.

    Both are multiplied by the same features, so the new logit is the mean of the logits over the classes.
    """
    owner, linear, suffix = name.rpartition(".linear.")
    modules = dict(old.named_modules())
    classes: Any = modules.get(f"{owner}.classes")
    weights = ("weight", "parametrizations.weight.original")
    if after or not isinstance(classes, Projection) or not linear or suffix not in weights:
        return None
    layer: Any = modules[f"{owner}.linear"]
    weight = layer.weight.detach() + classes.table().detach().mean(0)  # (1, F)
    note = f"mean of {old.num_classes} classes added"
    return weight, note if suffix == "weight" else f"{note}, {NORMED}"


def class_positions(old: Sequence[str], new: Sequence[str]) -> list[int | None]:
    """The position of each new class among the old ones; None for a class without a counterpart.

    Empty if the names don't help: the lists are equal or share no name.
    """
    if list(old) == list(new) or not set(old) & set(new):
        return []
    return [old.index(name) if name in old else None for name in new]


def reorder_rows(
    name: str,
    source: str | None,
    table: Tensor | None,
    before: nn.Module,
    after: nn.Module,
    positions: Sequence[int | None],
) -> Converted:
    """Rearrange the rows of a class table by the names of the classes; None if it isn't a class table.

    `source` is its name in the network `before`, `name` the one in `after`; `positions` are those of the new
    classes among the old ones.
    """
    owner = after.get_submodule(name.rpartition(".")[0])
    counted = owner is not after and bool(getattr(owner, "num_classes", 0))
    per_class = counted or isinstance(owner, nn.Embedding) or hasattr(owner, "class_dim")
    if source is None or table is None or not (positions and per_class):
        return None
    table = effective_table(source, table, before)
    if table.ndim != 2 or len(table) != num_classes_of(before):
        return None
    rows = torch.stack([table.mean(0) if position is None else table[position] for position in positions])
    count, total = sum(position is not None for position in positions), len(positions)
    others = f", mean of all classes for {total - count}" if count < total else ""
    return stored_table(name, rows, after), f"{count} of {total} classes by name{others}"


def renormalise(network: nn.Module, changed: set[str]) -> set[str]:
    """Recompute the spectral norms of the weights in `changed`. Returns the names of the updated vectors."""
    updated = set()
    for name, layer in network.named_modules():
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        owner = f"{name}.parametrizations.weight"
        if f"{owner}.original" in changed:
            layer.train()
            with torch.no_grad():
                for _ in range(ITERATIONS):
                    _ = layer.weight  # one power iteration per access in train mode
            layer.eval()
            updated |= {key for key in network.state_dict() if key.startswith(f"{owner}.0._")}
    return updated
