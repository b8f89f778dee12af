"""How `adapt` brings a tensor from a network to one that is conditioned on other classes, or on none.

A class starts from the source's class of its name; without one, from what all of the source's classes have in
common, so a network does at first what its source did for every class, or for the mean of them.

L classes; a class table is (L, …).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from gantl_zoo.networks.base import num_classes_of

NORMED = "then spectrally normed again"
SETTLED = 20  # power iterations, after which a spectral norm hardly moves
Found = tuple[Tensor, str] | None  # a tensor and where it comes from; None: no rule for it


def for_classes(source: str, new: Tensor, old: Tensor | None, before: nn.Module, after: nn.Module) -> Found:
    """A tensor of the network `after`, by what `before`, in which it is called `source`, knows of classes."""
    counts = num_classes_of(before), num_classes_of(after)
    if counts[0] == counts[1]:
        return None
    if old is None:
        return started(new, *counts)
    return folded(source, before, counts[1]) or reclassed(as_used(source, old, before), new, *counts)


def as_used(name: str, table: Tensor, network: nn.Module) -> Tensor:
    """A class table as the network uses it: where the length of rows is bounded, the bounded ones."""
    owner: Any = network.get_submodule(name.rpartition(".")[0])
    return owner.table().detach() if getattr(owner, "bounded", False) else table


def reclassed(old: Tensor, new: Tensor, before: int, after: int) -> Found:
    """A tensor of a network of `before` classes for one of `after`."""
    if not before and new.ndim == old.ndim + 1 and len(new) == after:
        return old.expand(after, *old.shape).clone(), f"the same for each of {after} classes"
    if not after and old.ndim == new.ndim + 1 and len(old) == before:
        return old.mean(0), f"mean of {before} classes"
    if before and after and old.ndim == new.ndim == 2 and (len(old), len(new)) == (before, after):
        return old.mean(0, keepdim=True).repeat(after, 1), f"mean of {before} classes for each of {after}"
    return None


def started(new: Tensor, before: int, after: int) -> Found:
    """A class table that the source has nothing for: zeros, which add nothing."""
    if before or not after or new.ndim != 2 or len(new) != after:
        return None
    return torch.zeros_like(new), f"zero for each of {after} classes"


def folded(name: str, old: nn.Module, after: int) -> Found:
    """The weight `name` of a head's `linear`, with the mean row of the `classes` beside it; None for others.

    A sum of products with the features is the product with the sum, so the logit is the mean of the classes'.
    """
    owner, linear, rest = name.rpartition(".linear.")
    modules = dict(old.named_modules())
    classes: Any = modules.get(f"{owner}.classes")
    if after or classes is None or not linear or rest not in ("weight", "parametrizations.weight.original"):
        return None
    layer: Any = modules[f"{owner}.linear"]
    weight = layer.weight.detach() + classes.table().detach().mean(0)  # (1, F)
    note = f"mean of {old.num_classes} classes added"
    return weight, note if rest == "weight" else f"{note}, {NORMED}"


def places(known: Sequence[str], wanted: Sequence[str]) -> list[int | None]:
    """Where each wanted class stands among the known ones, None if it doesn't; nothing at all if names don't
    help: none is shared, or all stand where they stood.
    """
    if list(known) == list(wanted) or not set(known) & set(wanted):
        return []
    return [known.index(name) if name in known else None for name in wanted]


def by_name(
    name: str,
    source: str | None,
    table: Tensor | None,
    before: nn.Module,
    after: nn.Module,
    stand: Sequence[int | None],
) -> Found:
    """A class table of `before` with a row for each class of `after`, from where it stands in there; None if
    `name`, which is called `source` there, is no such table.
    """
    owner = after.get_submodule(name.rpartition(".")[0])
    knowing = isinstance(owner, nn.Embedding) or bool(owner is not after and getattr(owner, "num_classes", 0))
    if source is None or table is None or not (stand and knowing):
        return None
    if table.ndim != 2 or len(table) != num_classes_of(before):
        return None
    table = as_used(source, table, before)
    rows = torch.stack([table.mean(0) if place is None else table[place] for place in stand])
    found = sum(place is not None for place in stand)
    rest = f", the mean for {len(stand) - found}" if found < len(stand) else ""
    return rows, f"{found} of {len(stand)} classes by their names{rest}"


def renormalise(network: nn.Module, changed: set[str]) -> set[str]:
    """Measure the spectral norms of the weights named in `changed` anew; returns the names of the vectors
    that this moves.
    """
    moved = set()
    for name, layer in network.named_modules():
        if not parametrize.is_parametrized(layer, "weight"):
            continue
        owner = f"{name}.parametrizations.weight"
        if f"{owner}.original" in changed:
            layer.train()
            with torch.no_grad():
                for _ in range(SETTLED):
                    _ = layer.weight  # each look in train mode is one power iteration
            layer.eval()
            moved |= {key for key in network.state_dict() if key.startswith(f"{owner}.0._")}
    return moved
