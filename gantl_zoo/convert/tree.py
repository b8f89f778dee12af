"""What a file of weights becomes: plain data, and `Persisted` for each module that was pickled whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gantl_zoo.errors import WeightsError

MAX_DEPTH = 64  # levels of a tree; a snapshot's networks have about 15


@dataclass(frozen=True, eq=False)
class Persisted:
    """A pickled module as data: the name of its class, and the attributes that were stored."""

    class_name: str
    state: dict[str, Any]


def state_dict(module: Any, prefix: str = "") -> dict[str, Tensor]:
    """The parameters and buffers of a pickled module and of the modules inside it, by their dotted names.

    Leaves out buffers that the module declares as not persistent, as `torch.nn.Module.state_dict` does.
    Raises `WeightsError` for anything but a module.
    """
    return dict(_named(module, prefix))


def _named(module: Any, prefix: str) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, Persisted):
        raise WeightsError(f"{prefix.rstrip('.') or 'the network'} is a {kind(module)}, not a pickled module")
    left_out = module.state.get("_non_persistent_buffers_set") or ()
    for group in ("_parameters", "_buffers"):
        for name, tensor in _items(module, group):
            if isinstance(tensor, Tensor) and name not in left_out:
                yield f"{prefix}{name}", tensor
    for name, inner in _items(module, "_modules"):
        if inner is not None:
            yield from _named(inner, f"{prefix}{name}.")


def _items(module: Persisted, group: str) -> list[tuple[str, Any]]:
    found = module.state.get(group) or {}
    if not isinstance(found, dict):
        raise WeightsError(f"the {group} of a {module.class_name} are a {kind(found)}, not a dict")
    return [(str(name), value) for name, value in found.items()]


def children(value: Any) -> list[Any]:
    """The values inside a container of a tree; [] for a leaf."""
    if isinstance(value, Persisted):
        return [value.state]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else []


def check_depth(tree: Any) -> None:
    """Raise `WeightsError` if a tree is deeper than `MAX_DEPTH` or contains itself. Doesn't recurse."""
    height: dict[int, int] = {}  # of each container that is done
    entered: set[int] = set()
    todo = [(tree, False)]
    while todo:
        value, done = todo.pop()
        inside = [inner for inner in children(value) if children(inner)]
        if done:
            height[id(value)] = 1 + max((height[id(inner)] for inner in inside), default=0)
            if height[id(value)] > MAX_DEPTH:
                raise WeightsError(f"it is nested more than {MAX_DEPTH} levels deep")
        elif id(value) not in height:
            if id(value) in entered:
                raise WeightsError("an object in it contains itself")
            entered.add(id(value))
            todo += [(value, True), *((inner, False) for inner in inside if id(inner) not in height)]


def kind(value: Any) -> str:
    """The type of a value in words, for a message: a module's class, or Python's type."""
    return f"pickled {value.class_name}" if isinstance(value, Persisted) else type(value).__name__


def key(value: Any) -> Any:
    """The value, if it may be a key of a dict or an element of a set. Raises `WeightsError`.

    A hash of nested tuples would take exponential time.
    """
    if isinstance(value, (str, bytes)) or value is None:
        return value
    if isinstance(value, int) and abs(value) < 1 << 63:
        return value
    raise WeightsError(f"it has a key that is a {kind(value)}; keys are texts, bytes and integers")
