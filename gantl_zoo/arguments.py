"""A builder's arguments: as words, and whether they are what its annotations say. No torch."""

from __future__ import annotations

import inspect
import json
import math
import types
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

from gantl_zoo.errors import UsageError

CHECKED: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool) and math.isfinite(value),
    str: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
}


def from_words(words: Sequence[str], option: str) -> dict[str, Any]:
    """`["width=32", "norm=batch"]` as keyword arguments; values are JSON or else text."""
    found: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{option} {word!r}: write KEY=VALUE, such as {option} width=32")
        try:
            found[key] = json.loads(value)
        except ValueError:
            lowered = {"True": True, "False": False, "None": None}
            found[key] = lowered.get(value, value)
    return found


def misfit(builder: Callable[..., Any], config: Mapping[str, Any]) -> str:
    """The first argument of another type than annotated, in words; "" if all fit or aren't annotated."""
    said = hints(builder)
    for key, value in config.items():
        if key in said and not fits(value, said[key]):
            wanted = getattr(said[key], "__name__", "") if isinstance(said[key], type) else ""
            return f"{key} must be {wanted or said[key]}, not {value!r:.80}"
    return ""


@cache
def hints(builder: Callable[..., Any]) -> dict[str, Any]:
    """The evaluated annotations of a function or of a class's constructor; {} if they can't be evaluated."""
    function = builder.__init__ if inspect.isclass(builder) else builder
    try:
        return get_type_hints(function)
    except Exception:  # names that only a type checker imports, in somebody's package
        return {}


def fits(value: Any, wanted: Any) -> bool:
    """Is `value` a `wanted`? What isn't JSON's is not judged."""
    if wanted in CHECKED:
        return CHECKED[wanted](value)
    origin, inner = get_origin(wanted), get_args(wanted)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin in (list, tuple, Sequence):
        each = [one for one in inner if one is not Ellipsis]
        whole = isinstance(value, (list, tuple))
        return whole and (len(set(each)) != 1 or all(fits(one, each[0]) for one in value))
    if origin is dict or wanted is dict:
        return isinstance(value, dict)
    return True
