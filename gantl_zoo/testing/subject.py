"""`Subject`: a registered name that is checked, and what its checks share."""

from __future__ import annotations

import contextlib
import inspect
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from gantl_zoo.networks.contract import owned
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.plugins import guide
from gantl_zoo.registry.registry import Registry
from gantl_zoo.seeding import seeded
from gantl_zoo.testing.check import Suite

UNNAMED = "under-test"  # the temporary name of an object that is not registered


def check_class(value: Any, kind: type, name: str) -> str:
    """ "" if an object has the class `kind`; else what is wrong, with the public `name` of the class."""
    if isinstance(value, kind):
        return ""
    return f"it is a {type(value).__name__}; derive its class from {name}"


@dataclass
class Subject:
    """A name of a registry, with the arguments that it is checked with."""

    kind: str
    name: str
    config: Mapping[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        return owned(self.kind, self.name)

    @property
    def guide(self) -> str:
        """The page of the guide that explains the conventions of this kind."""
        return guide(self.kind)

    @property
    def registry(self) -> Registry:
        """The registry that has the name."""
        return REGISTRIES[self.kind]

    def build(self, **changed: Any) -> Any:
        """Call the builder with the arguments, some of them `changed`, and a fixed seed."""
        with seeded(0):
            return self.registry.build(self.name, **{**self.config, **changed})

    def takes(self, argument: str) -> bool:
        """Whether the builder has this argument."""
        return argument in self.registry.takes(self.name)[0]

    @cached_property
    def built(self) -> Any:
        """What the builder returns."""
        return self.build()


@contextlib.contextmanager
def named(kind: str, target: Any) -> Iterator[str]:
    """The name of a target inside: a name as it is, an object under a temporary one."""
    if isinstance(target, str):
        yield target
        return
    registry = REGISTRIES[kind]
    registry.register(UNNAMED, target, override=True)
    try:
        yield UNNAMED
    finally:
        registry._own.pop(UNNAMED, None)


def arguments(subject: Subject) -> str:
    """The arguments of a builder are keyword arguments with defaults that JSON can store."""
    parameters = subject.registry.takes(subject.name)[0].values()
    for one in parameters:
        if one.kind is inspect.Parameter.POSITIONAL_ONLY:
            return f"{one.name!r} can't be passed by name; remove the '/' before or after it"
        if one.default is one.empty:
            return f"{one.name!r} has no default; give it one"
        try:
            json.dumps(one.default)
        except (TypeError, ValueError):
            return (
                f"the default of {one.name!r} is a {type(one.default).__name__}; use a number, text or list"
            )
    return ""


def loads(subject: Subject) -> str:
    """A name leads to an object that can be imported."""
    subject.registry.load(subject.name)
    return ""


def builds(subject: Subject) -> str:
    """A builder works with its defaults."""
    assert subject.built is not None
    return ""


def begun() -> Suite:
    """A suite with the first checks of everything that is built."""
    suite = Suite()
    suite.check("loads")(loads)
    suite.check("arguments", "loads")(arguments)
    suite.check("builds", "arguments")(builds)
    return suite
