"""What a file of weights becomes: plain data, and `Persisted` for each module that was pickled whole."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from math import isfinite
from typing import Any

from torch import Tensor

from gantl_zoo.errors import WeightsError

MAX_DEPTH = 64  # levels of a tree; a snapshot's networks have about 15
MAX_NAMES = 100_000  # tensors and modules with their dotted names; a network for 1024 px has about 500
MAX_KEY = 16  # values in a tuple that is a key
MAX_NAME = 1000  # characters of a dotted name


@dataclass(frozen=True, eq=False)
class Persisted:
    """A pickled module as data: the name of its class, and the attributes that were stored."""

    class_name: str
    state: dict[str, Any]


class Walk:
    """Counts what a walk through a tree visits: modules that share their parts may have endless names."""

    def __init__(self) -> None:
        self.visited = 0

    def visit(self, name: str) -> None:
        """Count a name. Raises `WeightsError` above `MAX_NAMES`, and above `MAX_NAME` characters."""
        self.visited += 1
        if self.visited > MAX_NAMES:
            raise WeightsError(f"its modules have more than {MAX_NAMES:,} names")
        if len(name) > MAX_NAME:
            raise WeightsError(f"a module in it has a name of more than {MAX_NAME:,} characters")


def state_dict(module: Any, prefix: str = "", walk: Walk | None = None) -> dict[str, Tensor]:
    """The parameters and buffers of a pickled module and of the modules inside it, by their dotted names.

    Leaves out buffers that the module declares as not persistent, as `torch.nn.Module.state_dict` does.
    Raises `WeightsError` for anything but a module. Several calls with one `walk` have one limit.
    """
    return dict(_named(module, prefix, walk or Walk()))


def _named(module: Any, prefix: str, walk: Walk) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(module, Persisted):
        raise WeightsError(f"{prefix.rstrip('.') or 'the network'} is a {kind(module)}, not a pickled module")
    left_out = module.state.get("_non_persistent_buffers_set")
    left_out = left_out if isinstance(left_out, (set, frozenset)) else set()
    for group in ("_parameters", "_buffers"):
        for name, tensor in _items(module, group):
            walk.visit(prefix + name)
            if isinstance(tensor, Tensor) and name not in left_out:
                yield prefix + name, tensor
    for name, inner in _items(module, "_modules"):
        walk.visit(prefix + name)
        if inner is not None:
            yield from _named(inner, f"{prefix}{name}.", walk)


def _items(module: Persisted, group: str) -> list[tuple[str, Any]]:
    members = module.state.get(group) or {}
    if not isinstance(members, dict):
        raise WeightsError(f"the {group} of a {module.class_name} are a {kind(members)}, not a dict")
    return [(str(name), value) for name, value in members.items()]


def children(value: Any) -> list[Any]:
    """The values inside a container of a tree; [] for a leaf."""
    if isinstance(value, Persisted):
        return [value.state]
    if isinstance(value, Mapping):
        return list(value.values())
    return list(value) if isinstance(value, (list, tuple, set, frozenset)) else []


def is_container(value: Any) -> bool:
    """Whether a value of a tree has other values inside."""
    if isinstance(value, Persisted):
        return True
    return isinstance(value, (Mapping, list, tuple, set, frozenset)) and len(value) > 0


def check_depth(tree: Any) -> None:
    """Raise `WeightsError` if a tree is deeper than `MAX_DEPTH` or contains itself. Doesn't recurse.

    Visits each container once, however many others contain it.
    """
    height: dict[int, int] = {}  # of each container that is done
    entered: dict[int, list[Any]] = {}  # the containers inside those that aren't
    todo = [tree]
    while todo:
        value = todo[-1]
        if id(value) in height:
            todo.pop()
        elif id(value) in entered:  # all inside are done
            inside = entered.pop(id(value))
            height[id(value)] = 1 + max((height[id(inner)] for inner in inside), default=0)
            if height[id(value)] > MAX_DEPTH:
                raise WeightsError(f"it is nested more than {MAX_DEPTH} levels deep")
        else:
            inside = list({id(inner): inner for inner in children(value) if is_container(inner)}.values())
            if any(id(inner) in entered or inner is value for inner in inside):
                raise WeightsError("an object in it contains itself")
            entered[id(value)] = inside
            todo += [inner for inner in inside if id(inner) not in height]


def kind(value: Any) -> str:
    """The type of a value in words, for a message: a module's class, or Python's type."""
    return f"pickled {value.class_name}" if isinstance(value, Persisted) else type(value).__name__


def key(value: Any) -> Any:
    """The value, if it may be a key of a dict or an element of a set. Raises `WeightsError`.

    A hash of nested tuples would take exponential time.
    """
    if is_plain(value):
        return value
    if isinstance(value, tuple) and len(value) <= MAX_KEY and all(map(is_plain, value)):
        return value
    raise WeightsError(f"it has a key that is a {kind(value)}; keys are texts, bytes and finite numbers")


def is_plain(value: Any) -> bool:
    """Whether a value is text, bytes, None, an integer of 64 bits or a finite number."""
    if isinstance(value, int):
        return abs(value) < 1 << 63
    return value is None or isinstance(value, (str, bytes)) or (isinstance(value, float) and isfinite(value))
