"""Add the settings of a verb to its signature and docstring, so that `help()` lists them."""

from __future__ import annotations

import inspect
import textwrap
from collections.abc import Callable, Mapping
from dataclasses import MISSING, fields
from typing import Any, TypeVar, get_type_hints

from gantl_zoo.registry.field_help import field_help
from gantl_zoo.runs.measuring import Measuring
from gantl_zoo.runs.spec import DataSpec

Verb = TypeVar("Verb", bound=Callable[..., Any])
WIDTH = 100  # characters of a line
RENAMED = {"data_root": "root"}  # settings whose dataclass field has another name


def with_settings(kind: type, *sources: type, **defaults: Any) -> Callable[[Verb], Verb]:
    """A decorator that adds the settings of the TypedDict `kind` to a verb's signature and docstring.

    Their defaults and texts come from the dataclasses and TypedDicts `sources`, from `DataSpec` and
    `Measuring`; `defaults` replace those of the dataclasses.
    """

    def decorate(verb: Verb) -> Verb:
        types = get_type_hints(kind)
        usual = {name: defaults.get(name, default_of(name, sources)) for name in types}
        signature = inspect.signature(verb)
        own = [p for p in signature.parameters.values() if p.kind is not p.VAR_KEYWORD]
        only = inspect.Parameter.KEYWORD_ONLY
        added = [inspect.Parameter(n, only, default=usual[n], annotation=types[n]) for n in types]
        verb.__signature__ = signature.replace(parameters=own + added)  # type: ignore[attr-defined]
        verb.__doc__ = f"{inspect.cleandoc(verb.__doc__ or '')}\n\n{section(types, usual, texts(sources))}"
        return verb

    return decorate


def section(types: Mapping[str, Any], usual: Mapping[str, Any], words: Mapping[str, str]) -> str:
    """The part of a docstring that lists the settings."""
    lines = ["Settings (keyword arguments; None means the default):", ""]
    for name in types:
        text = f"{name} (default {usual[name]!r}): {words.get(RENAMED.get(name, name), '')}".rstrip(": ")
        lines += textwrap.wrap(text, WIDTH, initial_indent="  ", subsequent_indent="      ")
    return "\n".join(lines)


def texts(sources: tuple[type, ...]) -> dict[str, str]:
    """The help of each field. Earlier sources take precedence."""
    helps: dict[str, str] = {}
    for source in (*sources, DataSpec, Measuring):
        helps = field_help(source) | helps
    return helps


def default_of(name: str, sources: tuple[type, ...]) -> Any:
    """The default of a setting; None if no dataclass has a field for it."""
    for source in (*sources, DataSpec, Measuring):
        for field in fields(source) if hasattr(source, "__dataclass_fields__") else ():
            if field.name == RENAMED.get(name, name):
                return field.default_factory() if field.default_factory is not MISSING else field.default
    return None
