"""Find state dicts in the content of a file, and strip what wrappers add to the names of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from torch import Tensor

from gantl_zoo.convert.tree import Persisted, state_dict
from gantl_zoo.errors import WeightsError

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel; torch.compile
ENDINGS = ("_state_dict", ".state_dict", "_state", "_model")
# The usual names of both networks in a file, the averaged generator first
GENERATORS = ("g_ema", "gema", "netg_ema", "ema", "generator_ema", "netg", "generator", "g", "gen")
DISCRIMINATORS = ("netd", "discriminator", "d", "disc", "critic")
DEEPEST, MOST = 3, 2_000  # levels and number of dicts in which state dicts are looked for

State = dict[str, Tensor]


def states(tree: Any) -> dict[str, State]:
    """The state dicts in a tree by their places, such as "netG"; the tree itself is at ""."""
    found: dict[str, State] = {}
    todo = [(tree, "", 0)]
    for value, place, depth in todo:  # grows
        if isinstance(value, Persisted):
            tensors = state_dict(value)
            found |= {place: bare(tensors)} if tensors else {}
        elif isinstance(value, Mapping):
            tensors = {str(name): inner for name, inner in value.items() if isinstance(inner, Tensor)}
            found |= {place: bare(tensors)} if tensors else {}
            inner = [(i, n) for n, i in value.items() if isinstance(i, (Persisted, Mapping))]
            todo += [(i, f"{place}.{n}".lstrip("."), depth + 1) for i, n in inner if depth < DEEPEST]
        if len(todo) > MOST:
            raise WeightsError(f"it has more than {MOST:,} dicts")
    return found


def bare(tensors: Mapping[str, Tensor]) -> State:
    """The tensors without the prefixes of wrappers, if all names have them."""
    found = dict(tensors)
    while found and (wrapper := next((w for w in WRAPPERS if all(n.startswith(w) for n in found)), "")):
        found = {name.removeprefix(wrapper): tensor for name, tensor in found.items()}
    return found


def pick(found: Mapping[str, State], names: Iterable[str], what: str, key: str | None = None) -> State:
    """The state dict at `key`, else the one with one of the usual `names`, else the only one.

    Raises `WeightsError`, which lists the places of all.
    """
    if key is not None and key in found:
        return found[key]
    usual = {simple(place): place for place in reversed(list(found))}
    if key is None:
        if place := next((usual[name] for name in names if name in usual), None):
            return found[place]
        if len(found) == 1:
            return next(iter(found.values()))
    places = ", ".join(place or "(top level)" for place in found) or "there are none"
    asked = f"it has no state dict {key!r}" if key else f"it doesn't say which state dict is the {what}'s"
    raise WeightsError(f"{asked}; those in the file: {places:.300}")


def simple(place: str) -> str:
    """A place in lower case without an ending such as "_state_dict"."""
    found = place.lower()
    for ending in ENDINGS:
        found = found.removesuffix(ending)
    return found.rpartition(".")[2]
