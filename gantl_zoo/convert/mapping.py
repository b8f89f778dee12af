"""A mapping file: JSON, from patterns of names in a file to names of our networks."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

from torch import Tensor

from gantl_zoo.errors import UsageError, WeightsError
from gantl_zoo.storage.untrusted import read_json

MAX_BYTES = 1 << 20


def read_mapping(mapping: str | Mapping[str, Any] | None) -> dict[str, str | None]:
    """The mapping of a JSON file, or a mapping as it is, checked. Raises `UsageError`."""
    if mapping is None:
        return {}
    found: Any = mapping
    if isinstance(mapping, str):
        if not Path(mapping).is_file():
            raise UsageError(f"the mapping {mapping} does not exist")
        try:
            found = read_json(Path(mapping), MAX_BYTES, "a mapping of names")
        except WeightsError as error:
            raise UsageError(str(error)) from error
    if not isinstance(found, Mapping):
        raise UsageError(f'a mapping is a JSON object, {{"pattern": "name"}}, not a {type(found).__name__}')
    for pattern, name in found.items():
        if not isinstance(name, (str, type(None))):
            raise UsageError(f"the mapping of {pattern!r} must be a name, or null to leave it out")
        if name is not None and name.count("*") > pattern.count("*"):
            raise UsageError(f"the mapping of {pattern!r} to {name!r} has more * than its pattern")
    return dict(found)


def renamed(weights: Mapping[str, Tensor], mapping: Mapping[str, str | None]) -> dict[str, Tensor]:
    """The tensors under their mapped names. Raises `UsageError` if two get the same name.

    The first pattern that matches a whole name counts. `*` stands for any text, and each `*` of the new name
    for the text of the pattern's `*` in the same place. A name without a pattern is kept; `null` leaves a
    tensor out.
    """
    found: dict[str, Tensor] = {}
    for name, tensor in weights.items():
        matches = ((new, compiled(pattern).fullmatch(name)) for pattern, new in mapping.items())
        new, match = next(((new, match) for new, match in matches if match), (name, None))
        if new is None:
            continue
        if match is not None:
            new = filled(new, match.groups())
        if new in found:
            raise UsageError(f"the mapping gives the name {new!r} to two tensors, {name} the second")
        found[new] = tensor
    return found


def check_used(mapping: Mapping[str, str | None], names: Iterable[str]) -> None:
    """Raise `UsageError` if a pattern matches none of the names."""
    names = list(names)
    unused = [pattern for pattern in mapping if not any(map(compiled(pattern).fullmatch, names))]
    if unused:
        raise UsageError(f"no name in the file matches {', '.join(map(repr, unused[:4]))} of the mapping")


@cache
def compiled(pattern: str) -> re.Pattern[str]:
    """The pattern as a regular expression with a group for each `*`."""
    return re.compile("(.*)".join(map(re.escape, pattern.split("*"))))


def filled(name: str, texts: Iterable[str]) -> str:
    """The new name, with a text in place of each `*`."""
    head, *rest = name.split("*")
    return head + "".join(text + part for text, part in zip(texts, rest, strict=False))
