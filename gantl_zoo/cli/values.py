"""Values of options and arguments, converted and checked without pydantic, whose import takes 60 ms.

Recent versions of typer convert with pydantic; a parameter of one of the types here is given its own
converter instead. A parameter of another type, or of a version of typer without this hook, stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args, get_origin

import typer

HOOK = "_runtime_param"  # where typer keeps the converter of a parameter, once it is built


def whole(text: Any) -> int:
    """A whole number."""
    return text if type(text) is int else int(str(text))


KINDS: dict[Any, tuple[Callable[[Any], Any], str]] = {
    str: (str, "a text"),
    int: (whole, "a whole number"),
    float: (float, "a number"),
    Path: (Path, "a path"),
    bool: (bool, "true or false"),
}


class Converter:
    """Converts what is typed to one type, or to a list of it."""

    def __init__(self, kind: Any) -> None:
        self.many = get_origin(kind) is list
        self.convert, self.words = KINDS[get_args(kind)[0] if self.many else kind]

    def coerce(self, value: Any, param: Any, ctx: Any) -> Any:
        """The converted value. Raises `typer.BadParameter`."""
        if value is None:
            return () if self.many else None
        try:
            return [self.convert(one) for one in value] if self.many else self.convert(value)
        except ValueError as error:
            name = max(param.opts, key=len) if param.opts else param.name
            raise typer.BadParameter(
                f"{name} must be {self.words}, not {value!r:.80}", ctx=ctx, param=param
            ) from error


def simplify(parameters: list[Any]) -> list[Any]:
    """The parameters, each of a type in `KINDS` with its own converter."""
    for parameter in parameters:
        kind = getattr(getattr(parameter, "type_descriptor", None), "annotation", None)
        known = kind in KINDS or (get_origin(kind) is list and get_args(kind)[0] in KINDS)
        if known and getattr(parameter, HOOK, parameter) is None:
            setattr(parameter, HOOK, Converter(kind))
    return parameters
