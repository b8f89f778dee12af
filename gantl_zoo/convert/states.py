"""Find state dicts in the content of a file, and strip what wrappers add to the names of tensors."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from torch import Tensor

from gantl_zoo.convert.located import located
from gantl_zoo.convert.tree import MAX_NAME, Persisted, Walk, is_container, state_dict
from gantl_zoo.convert.unpickle import read
from gantl_zoo.errors import WeightsError

WRAPPERS = ("module.", "_orig_mod.")  # DataParallel; torch.compile
ENDINGS = ("_state_dict", ".state_dict", "_state", "_model")
# The usual names of both networks in a file, the averaged generator first
GENERATORS = ("g_ema", "gema", "netg_ema", "ema", "generator_ema", "netg", "generator", "g", "gen")
DISCRIMINATORS = ("netd", "discriminator", "d", "disc", "critic")
DEEPEST = 3
MOST_WRAPPERS = 4

State = dict[str, Tensor]


def states(tree: Any) -> dict[str, State]:
    """The state dicts in a tree by their places, such as "netG"; the tree itself is at ""."""
    return {place: state for place, state in _states(tree) if state}


def _states(tree: Any) -> Iterator[tuple[str, State]]:
    """State dicts with their places, the outer ones first. Looks into each container once."""
    level, done, walk = [("", tree)], dict[int, State](), Walk()
    for depth in range(DEEPEST + 2):
        inside: list[tuple[str, Any]] = []
        for place, value in level:
            if id(value) not in done:
                done[id(value)] = own_state(value, walk)
                if isinstance(value, Mapping) and depth <= DEEPEST:
                    inside += inner_containers(value, place)
            yield place, done[id(value)]
        level = inside


def own_state(value: Any, walk: Walk) -> State:
    """The tensors of a pickled module, or those directly in a dict."""
    if isinstance(value, Persisted):
        return bare(state_dict(value, walk=walk))
    items = value.items() if isinstance(value, Mapping) else ()
    return bare({str(name): inner for name, inner in items if isinstance(inner, Tensor) and is_name(name)})


def inner_containers(value: Mapping[Any, Any], place: str) -> list[tuple[str, Any]]:
    """The dicts and modules in a dict, with their places."""
    return [
        (f"{place}.{name}".lstrip("."), inner)
        for name, inner in value.items()
        if is_container(inner) and isinstance(inner, (Mapping, Persisted)) and is_name(name)
    ]


def is_name(key: Any) -> bool:
    """Whether a key can be the name of a tensor or a network."""
    return isinstance(key, int) or (isinstance(key, str) and len(key) <= MAX_NAME)


def bare(tensors: Mapping[str, Tensor]) -> State:
    """The tensors without the prefixes of wrappers, if all names have them."""
    state = dict(tensors)
    for _ in range(MOST_WRAPPERS):
        wrapper = next((w for w in WRAPPERS if all(name.startswith(w) for name in state)), "")
        state = {name.removeprefix(wrapper): tensor for name, tensor in state.items()}
    return state


def discriminator_in(file: str) -> State:
    """The discriminator's state dict in a second file. Raises `WeightsError` with the path of that file."""
    with located(file):
        return pick(states(read(file)), DISCRIMINATORS, "discriminator")


def discriminator_beside(parts: Mapping[str, State], generator: State) -> State:
    """The discriminator's state dict in the file with the generator's. Raises `WeightsError`."""
    rest = {place: state for place, state in parts.items() if state is not generator}
    if not [place for place in rest if simple(place) not in GENERATORS]:
        raise WeightsError(
            "the file has no discriminator: give --discriminator-file, or leave --discriminator out"
        )
    return pick(rest, DISCRIMINATORS, "discriminator")


def pick(parts: Mapping[str, State], names: Iterable[str], what: str, key: str | None = None) -> State:
    """The state dict at `key`, else the one with one of the usual `names`, else the only one.

    Raises `WeightsError`, which lists the places of all.
    """
    if key is not None and key in parts:
        return parts[key]
    usual = {simple(place): place for place in reversed(list(parts))}
    if key is None:
        if place := next((usual[name] for name in names if name in usual), None):
            return parts[place]
        if len(parts) == 1:
            return next(iter(parts.values()))
    places = ", ".join(place or "(top level)" for place in parts) or "there are none"
    asked = f"it has no state dict {key!r}" if key else f"it doesn't say which state dict is the {what}'s"
    raise WeightsError(f"{asked}; those in the file: {places:.300}")


def simple(place: str) -> str:
    """A place in lower case without an ending such as "_state_dict"."""
    short = place.lower()
    for ending in ENDINGS:
        short = short.removesuffix(ending)
    return short.rpartition(".")[2]
