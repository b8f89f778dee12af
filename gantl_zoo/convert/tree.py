"""What a file of weights becomes: plain data, and `Persisted` for each module that was pickled whole."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from gantl_zoo.errors import WeightsError

MAX_NAMES = 100_000  # modules and tensors of a network
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
    found: dict[str, Tensor] = {}
    todo, visited = [(module, prefix)], 0
    while todo:
        inner, place = todo.pop()
        visited += 1
        found |= _tensors(inner, place)
        todo += [(m, f"{place}{name}.") for name, m in reversed(_items(inner, "_modules")) if m is not None]
        if visited + len(found) + len(todo) > MAX_NAMES:  # modules that share modules have exponentially many
            raise WeightsError(f"it has more than {MAX_NAMES:,} modules and tensors")
    return found


def _tensors(module: Any, prefix: str) -> dict[str, Tensor]:
    """The module's own tensors."""
    if not isinstance(module, Persisted):
        raise WeightsError(f"{prefix.rstrip('.') or 'the network'} is a {kind(module)}, not a pickled module")
    named = module.state.get("_non_persistent_buffers_set")
    left_out = named if isinstance(named, set) else set()
    own = [*_items(module, "_parameters"), *_items(module, "_buffers")]
    return {f"{prefix}{n}": t for n, t in own if isinstance(t, Tensor) and n not in left_out}


def _items(module: Persisted, group: str) -> list[tuple[str, Any]]:
    found = module.state.get(group) or {}
    if not isinstance(found, dict):
        raise WeightsError(f"the {group} of a {module.class_name} are a {kind(found)}, not a dict")
    return [(str(name), value) for name, value in found.items()]


CONTAINERS = (Persisted, Mapping, list, tuple, set, frozenset)


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
        if not done and id(value) in height:
            continue
        if not done and id(value) in entered:
            raise WeightsError("an object in it contains itself")
        inside = [inner for inner in children(value) if isinstance(inner, CONTAINERS)]
        if done:
            height[id(value)] = 1 + max((height[id(inner)] for inner in inside), default=0)
            if height[id(value)] > MAX_DEPTH:
                raise WeightsError(f"it is nested more than {MAX_DEPTH} levels deep")
        else:
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
