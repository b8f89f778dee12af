"""Arguments of builders and recipes: as words, and whether annotations and limits allow them. No torch."""

from __future__ import annotations

import inspect
import json
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from numbers import Integral, Real
from typing import Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

from gantl_zoo.errors import UnknownNameError, UsageError, unknown

CHECKED: dict[Any, Callable[[Any], bool]] = {
    bool: lambda value: isinstance(value, bool),
    int: lambda value: isinstance(value, Integral) and not isinstance(value, bool),
    float: lambda value: isinstance(value, Real) and not isinstance(value, bool) and finite(value),
    str: lambda value: isinstance(value, str),
    type(None): lambda value: value is None,
}

Builder = TypeVar("Builder", bound=Callable[..., Any])


def starting_weights(**without: Any) -> Callable[[Builder], Builder]:
    """Declare which arguments of a builder only fetch starting weights, each with its value for "none".

        @gz.starting_weights(weights=None, pretrained=False)
        def backbone(*, width: int = 64, weights: str | None = None, pretrained: bool = True): ...

    A model folder carries its own weights: its config.json is written without these arguments, and the
    network that is filled from it is built with these values. All other arguments describe the architecture
    and are kept, whatever they are called. Where a declared one determines the architecture, too, the network
    has a `config` with the arguments that build it again. Raises `UsageError` for an argument that the
    builder does not have.
    """

    def declare(builder: Builder) -> Builder:
        known = inspect.signature(builder).parameters
        open_ended = any(p.kind is p.VAR_KEYWORD for p in known.values())
        if not open_ended and (wrong := sorted(set(without) - set(known))):
            raise UsageError(unknown("argument", wrong[0], known, listed="the builder takes"))
        builder.starting_weights = dict(without)  # type: ignore[attr-defined]
        return builder

    return declare


@dataclass(frozen=True)
class Choice:
    """The limit of a setting that has a choice of names."""

    names: tuple[str, ...]


Limit = Choice | tuple[str, Callable[[Any], bool]]  # or in words, and whether a value keeps it
AT_LEAST_ONE: Limit = ("at least 1", lambda value: value >= 1)
POSITIVE: Limit = ("above 0", lambda value: value > 0)
NOT_NEGATIVE: Limit = ("0 or more", lambda value: value >= 0)
SHARE: Limit = ("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE: Limit = ("from 0 to below 1", lambda value: 0 <= value < 1)


def one_of(*names: str) -> Limit:
    """The limit of a setting that has a choice of names."""
    return Choice(names)


def finite(number: Any) -> bool:
    """Neither NaN nor infinite, nor an int beyond all floats."""
    return bool(abs(number) <= sys.float_info.max)


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


def to_word(key: str, value: Any) -> str:
    """`KEY=VALUE`, which `from_words` reads back as that value."""
    plainly = f"{key}={value}"
    if isinstance(value, str) and from_words([plainly], "") == {key: value}:
        return plainly
    return f"{key}={json.dumps(value)}"


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are there, with numpy's numbers as Python's: a run's folder keeps them as JSON."""
    return {key: plain(value) for key, value in settings.items() if value is not None}


def plain(value: Any) -> Any:
    """A value with numpy's numbers as Python's, also inside of a dict, a list or a tuple."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def check(recipe: object, limits: Mapping[str, Limit]) -> None:
    """Raises `UsageError` for a field of another type than the dataclass says, or beyond its limit;
    `UnknownNameError` for a name that is not among its choices.
    """
    if wrong := misfit(type(recipe), vars(recipe)):
        raise UsageError(wrong)
    for key, limit in limits.items():
        value, name = vars(recipe)[key], key.replace("_", "-")
        if value is None:
            continue
        if isinstance(limit, Choice):
            if value not in limit.names:
                raise UnknownNameError(unknown(name, value, limit.names))
        elif not limit[1](value):
            raise UsageError(f"{name} must be {limit[0]}, not {value!r}")


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
