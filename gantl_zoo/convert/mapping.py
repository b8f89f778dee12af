"""A mapping file: JSON, from patterns of names in a file to names of our networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.storage.untrusted import read_json

MAX_BYTES = 1 << 20
NETWORKS = ("generator", "discriminator")


@dataclass(frozen=True)
class Names:
    """The names of tensors that differ: patterns and our names, for each network; None leaves a tensor out.

    `shared` is whether both networks have the same patterns.
    """

    generator: dict[str, str | None]
    discriminator: dict[str, str | None]
    shared: bool = True


def read_mapping(mapping: str | Mapping[str, Any] | None) -> Names:
    """The mapping of a JSON file, or a mapping as it is, checked. Raises `UsageError`."""
    names: Any = mapping or {}
    if isinstance(mapping, str):
        if not Path(mapping).is_file():
            raise UsageError(f"the mapping {mapping} does not exist")
        try:
            names = read_json(Path(mapping), MAX_BYTES, "a mapping of names")
        except WeightsError as error:
            raise UsageError(str(error)) from error
    if not isinstance(names, Mapping):
        raise UsageError(f'a mapping is a JSON object, {{"pattern": "name"}}, not a {type(names).__name__}')
    if not any(isinstance(value, Mapping) for value in names.values()):
        both = checked(names)
        return Names(both, both)
    if not all(isinstance(value, Mapping) for value in names.values()) or not set(names) <= set(NETWORKS):
        raise UsageError('a mapping for each network is {"generator": {…}, "discriminator": {…}}')
    parts = {network: checked(names.get(network, {})) for network in NETWORKS}
    return Names(**parts, shared=False)


def checked(patterns: Mapping[str, Any]) -> dict[str, str | None]:
    """The patterns with their names. Raises `UsageError`."""
    for pattern, name in patterns.items():
        if not isinstance(name, (str, type(None))):
            raise UsageError(f"the mapping of {pattern!r} must be a name, or null to leave it out")
        if name is not None and name.count("*") > pattern.count("*"):
            raise UsageError(f"the mapping of {pattern!r} to {name!r} has more * than its pattern")
    return dict(patterns)


def renamed(weights: Mapping[str, Tensor], mapping: Mapping[str, str | None]) -> dict[str, Tensor]:
    """The tensors under their mapped names. Raises `UsageError` if two get the same name.

    The first pattern that matches a whole name counts. `*` stands for any text, and each `*` of the new name
    for the text of the pattern's `*` in the same place. A name without a pattern is kept; `null` leaves a
    tensor out.
    """
    tensors: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        matches = ((new, texts(pattern, name)) for pattern, new in mapping.items())
        new, match = next(((new, match) for new, match in matches if match is not None), (name, None))
        if new is None:
            continue
        if match is not None:
            new = filled(new, match)
        if new in tensors:
            raise UsageError(f"the mapping gives the name {new!r} to two tensors, {name} the second")
        tensors[new] = tensor
    return tensors


def check_used(mapping: Mapping[str, str | None], names: Iterable[str]) -> None:
    """Raise `UsageError` if a pattern matches none of the names."""
    names = list(names)
    unused = [pattern for pattern in mapping if all(texts(pattern, name) is None for name in names)]
    if unused:
        raise UsageError(f"no name in the file matches {', '.join(map(repr, unused[:4]))} of the mapping")


def texts(pattern: str, name: str) -> list[str] | None:
    """The text that each `*` of a pattern stands for; None if the name doesn't match.

    The first `*` stands for as much text as possible, then the second. Takes no backtracking: the parts
    between the stars are searched from the right.
    """
    head, *rest = pattern.split("*")
    if not rest:
        return [] if name == pattern else None
    *middle, tail = rest
    end = len(name) - len(tail)
    if end < len(head) or not name.startswith(head) or not name.endswith(tail):
        return None
    parts: list[str] = []
    for part in reversed(middle):
        start = name.rfind(part, len(head), end)
        if start < 0:
            return None
        parts.append(name[start + len(part) : end])
        end = start
    return [name[len(head) : end], *reversed(parts)]


def filled(name: str, texts: Iterable[str]) -> str:
    """The new name, with a text in place of each `*`."""
    head, *rest = name.split("*")
    return head + "".join(text + part for text, part in zip(texts, rest, strict=False))
