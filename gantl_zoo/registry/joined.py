"""`parts_of`: names joined by "+", such as `freeze-d+l2-sp`, and which arguments belong to which of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from gantl_zoo.errors import UsageError, suggestion
from gantl_zoo.registry.plugins import singular
from gantl_zoo.registry.registry import Registry


def parts_of(registry: Registry, name: str, config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The registered names in `name`, which "+" joins, each with its arguments in `config`.

    An argument belongs to the one part that takes it, or to the part in its name: `freeze-d.first=2`. Raises
    `UsageError` or `UnknownNameError`.
    """
    names, what = name.split("+"), f"{singular(registry.kind)} {name!r}"
    if len(set(names)) < len(names):
        raise UsageError(f"{what} names a part twice")
    shares: dict[str, dict[str, Any]] = {part: {} for part in names}
    for key, value in config.items():
        part, dot, setting = key.rpartition(".")
        if not dot:
            part = _taker(registry, names, setting, what)
        elif part not in names:
            hint = suggestion(part, names, "its parts are")
            raise UsageError(f"argument {key!r}: {what} has no part {part!r}{hint}")
        if setting in shares[part]:
            raise UsageError(f"{what}: argument {part}.{setting} is given twice")
        shares[part][setting] = value
    return shares


def _taker(registry: Registry, names: Sequence[str], setting: str, what: str) -> str:
    """The one part that takes the argument `setting`. Raises `UsageError` if several do, or none does."""
    if len(names) == 1:
        return names[0]  # whose builder raises if it does not take the argument
    taken = {part: list(registry.takes(part)[0]) for part in names}
    takers = [part for part in names if setting in taken[part]]
    if len(takers) > 1:
        hint = f"{' and '.join(takers)} take it; write {takers[0]}.{setting}=…"
        raise UsageError(f"{what}: argument {setting!r}: {hint}")
    if not takers:
        arguments = [argument for part in names for argument in taken[part]]
        hint = suggestion(setting, arguments, "they take")
        raise UsageError(f"{what}: argument {setting!r}: no part takes it{hint}")
    return takers[0]
