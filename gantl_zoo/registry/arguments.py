"""Arguments of builders and recipes: parse them from text, check their types and limits. No torch."""

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
    """Declare the arguments of a builder that only select starting weights, with values that select none.

        @gz.starting_weights(weights=None, pretrained=False)
        def backbone(*, width: int = 64, weights: str | None = None, pretrained: bool = True): ...

    A model folder has its own weights, so config.json leaves these arguments out, and loading builds the
    network with the values given here. All other arguments describe the architecture and are stored, whatever
    their names. If a declared argument also determines the architecture, the network must have an attribute
    `config` with the arguments that build it again. Raises `UsageError` for an argument that the builder
    doesn't have.
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
    """A limit: the setting must be one of these names."""

    names: tuple[str, ...]


Limit = Choice | tuple[str, Callable[[Any], bool]]  # names, or the limit in words with its check
AT_LEAST_ONE: Limit = ("at least 1", lambda value: value >= 1)
POSITIVE: Limit = ("above 0", lambda value: value > 0)
NOT_NEGATIVE: Limit = ("0 or more", lambda value: value >= 0)
SHARE: Limit = ("from 0 to 1", lambda value: 0 <= value <= 1)
BELOW_ONE: Limit = ("from 0 to below 1", lambda value: 0 <= value < 1)


def one_of(*names: str) -> Limit:
    """A limit: the setting must be one of `names`."""
    return Choice(names)


def finite(number: Any) -> bool:
    """Whether a number is finite, and not an int beyond the range of floats."""
    return bool(abs(number) <= sys.float_info.max)


def from_words(words: Sequence[str], option: str) -> dict[str, Any]:
    """Parse `["width=32", "norm=batch"]` to keyword arguments. Values are JSON, or else text.

    Raises `UsageError` that names the `option` for a word without "=".
    """
    values: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.partition("=")
        if not equals:
            raise UsageError(f"{option} {word!r}: write KEY=VALUE, such as {option} width=32")
        try:
            values[key] = json.loads(value)
        except ValueError:
            lowered = {"True": True, "False": False, "None": None}
            values[key] = lowered.get(value, value)
    return values


def to_word(key: str, value: Any) -> str:
    """Format an argument as `KEY=VALUE`, which `from_words` parses to the same value."""
    word = f"{key}={value}"
    if isinstance(value, str) and from_words([word], "") == {key: value}:
        return word
    return f"{key}={json.dumps(value)}"


def given(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that are not None, with NumPy scalars as Python numbers, which JSON can store."""
    return {key: plain(value) for key, value in settings.items() if value is not None}


def plain(value: Any) -> Any:
    """Convert NumPy scalars to Python numbers, also inside a dict, list or tuple."""
    if type(value).__module__ == "numpy" and getattr(value, "ndim", None) == 0:
        return value.item()
    if isinstance(value, Mapping):
        return {key: plain(inner) for key, inner in value.items()}
    return type(value)(map(plain, value)) if type(value) in (list, tuple) else value


def check(recipe: object, limits: Mapping[str, Limit]) -> None:
    """Check the fields of a dataclass instance against their annotations and `limits`.

    Raises `UsageError` for a wrong type or a value outside its limit, `UnknownNameError` for a name that is
    not among the choices.
    """
    if wrong := misfit(type(recipe), vars(recipe)):
        raise UsageError(wrong)
    check_limits(vars(recipe), limits)


def check_limits(values: Mapping[str, Any], limits: Mapping[str, Limit], what: str = "") -> None:
    """Check values, such as the arguments of the builder `what`, against `limits`. Raises as `check` does."""
    start = f"{what}: " if what else ""
    for key, limit in limits.items():
        value, name = values[key], key if what else key.replace("_", "-")
        if value is None:
            continue
        if isinstance(limit, Choice):
            if value not in limit.names:
                raise UnknownNameError(start + unknown(name, value, limit.names))
        elif not limit[1](value):
            raise UsageError(f"{start}{name} must be {limit[0]}, not {value!r}")


def misfit(builder: Callable[..., Any], config: Mapping[str, Any]) -> str:
    """A message about the first argument whose type is not as annotated; "" if there is none."""
    annotated = hints(builder)
    for key, value in config.items():
        if key in annotated and not fits(value, annotated[key]):
            name = getattr(annotated[key], "__name__", "") if isinstance(annotated[key], type) else ""
            return f"{key} must be {name or annotated[key]}, not {value!r:.80}"
    return ""


@cache
def hints(builder: Callable[..., Any]) -> dict[str, Any]:
    """The evaluated annotations of a function or of a class's constructor; {} if they can't be evaluated."""
    function = builder.__init__ if inspect.isclass(builder) else builder
    try:
        return get_type_hints(function)
    except Exception:  # names that a plug-in imports for type checkers only
        return {}


def fits(value: Any, annotation: Any) -> bool:
    """Whether `value` has the annotated type. Always True for types that JSON doesn't have."""
    if annotation in CHECKED:
        return CHECKED[annotation](value)
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin in (Union, types.UnionType):
        return any(fits(value, one) for one in inner)
    if origin is Literal:
        return value in inner
    if origin in (list, tuple, Sequence):
        each = [one for one in inner if one is not Ellipsis]
        is_list = isinstance(value, (list, tuple))
        return is_list and (len(set(each)) != 1 or all(fits(one, each[0]) for one in value))
    if origin is dict or annotation is dict:
        return isinstance(value, dict)
    return True
