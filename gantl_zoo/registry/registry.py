"""Names, and where they lead. Imports no torch and, until `load`, no plug-in.

Five registries of one class: a name maps to a reference `"package.module:object"`, which is imported
at the first `load` or `build`. Built-ins are the tables at the end of this file; `plugins.py` finds
those of installed packages; scripts use `register`.
"""

from __future__ import annotations

import difflib
import fnmatch
import inspect
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from gantl_zoo.errors import NameTakenError, PluginError, UnknownNameError, UsageError
from gantl_zoo.registry.arguments import misfit
from gantl_zoo.registry.plugins import Entry, installed, normalise, singular, wrong_name

T = TypeVar("T")

# Builder arguments that say where starting weights come from, whoever wrote the builder. A model folder
# carries its own weights, so a part's config is written without them, and `build_empty` gives them these
# values. Where one of them tells an architecture too (`of`), the network's `config` is what builds it again.
INITIALISERS: dict[str, Any] = {"weights": None, "pretrained": False, "of": None}


class Registry:
    """A mapping from names to objects that are imported when they are first needed."""

    def __init__(
        self, kind: str, builtins: Mapping[str, str], prefixes: Mapping[str, str] | None = None
    ) -> None:
        self.kind = kind
        self._own = {name: Entry(kind, name, reference) for name, reference in builtins.items()}
        self._prefixes = dict(prefixes or {})

    def register(self, name: str, target: Any = None, *, override: bool = False) -> Callable[[T], T]:
        """Register `target` under `name`, or decorate with `@registry.register("name")`.

        Raises `NameTakenError` if the name has an owner; `override=True` replaces it on purpose.
        """
        if wrong := wrong_name(self.kind, name):
            raise UsageError(wrong)

        def add(found: T) -> T:
            owners = [entry for entry in [*self._own.values(), *self._plugged()] if entry.name == name]
            if owners and not override:
                raise NameTakenError(
                    f"{singular(self.kind)} {name!r} is taken by {owners[0].owner} "
                    f"({owners[0].reference}); choose another name or pass override=True"
                )
            module, path = getattr(found, "__module__", "?"), getattr(found, "__qualname__", repr(found))
            self._own[name] = Entry(self.kind, name, f"{module}:{path}", "script", "", target=found)
            return found

        if target is not None:
            add(target)
        return add

    def names(self, pattern: str = "*") -> list[str]:
        """Sorted names that match the shell `pattern`; twins of plug-ins appear as `owner:name`."""
        found = set(self._own)
        for entry in self._plugged():
            bare = self.lookup(entry.name)
            found.add(entry.name if bare == [entry] else entry.qualified)
        return sorted(name for name in found if fnmatch.fnmatchcase(name, pattern))

    def info(self, name: str) -> Entry:
        """The entry of `name`, without importing it. Raises `UnknownNameError`."""
        found = self.lookup(name)
        if len(found) == 1:
            return found[0]
        what = singular(self.kind)
        if found:
            choices = ", ".join(entry.qualified for entry in found)
            raise UnknownNameError(f"{what} {name!r} is brought by two plug-ins; say which: {choices}")
        close = difflib.get_close_matches(name, self.names(), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else f"; there are: {', '.join(self.names())}"
        prefixes = "".join(f", or {prefix}:NAME" for prefix in self._prefixes)
        raise UnknownNameError(
            f"unknown {what} {name!r}{hint} (gantl-zoo list --kind {self.kind} shows all{prefixes})"
        )

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and len(self.lookup(name)) == 1

    def load(self, name: str) -> Any:
        """Import what `name` refers to. Raises `UnknownNameError`, or `PluginError` if that fails."""
        return self.info(name).load()

    def configure(self, name: str, **config: Any) -> dict[str, Any]:
        """The full builder arguments: names and types checked against the builder, defaults filled in. Raises
        `UsageError`.
        """
        builder, given = self._builder(name)
        signature = inspect.signature(builder)
        known = {key: p for key, p in signature.parameters.items() if key not in given}
        unknown = sorted(set(config) - set(known))
        if unknown and not any(p.kind is p.VAR_KEYWORD for p in known.values()):
            raise UsageError(
                f"{singular(self.kind)} {name!r} takes no argument {', '.join(map(repr, unknown))}; "
                f"it takes: {', '.join(known)}"
            )
        missing = [k for k, p in known.items() if p.default is p.empty and p.kind is p.KEYWORD_ONLY]
        if absent := sorted(set(missing) - set(config)):
            raise UsageError(f"{singular(self.kind)} {name!r} needs {', '.join(absent)}")
        if wrong := misfit(builder, config):
            raise UsageError(f"{singular(self.kind)} {name!r}: {wrong}")
        defaults = {k: p.default for k, p in known.items() if p.default is not p.empty}
        return defaults | config

    def build(self, name: str, **config: Any) -> Any:
        """Call the builder of `name` with keyword arguments. Raises `UsageError` on wrong ones."""
        builder, given = self._builder(name)
        return builder(**given, **self.configure(name, **config))

    def build_empty(self, name: str, **config: Any) -> Any:
        """`build`, whatever `config` says of starting weights, without any: for a network to be filled."""
        takes = self.configure(name, **config)
        return self.build(name, **config | {k: v for k, v in INITIALISERS.items() if k in takes})

    def _builder(self, name: str) -> tuple[Callable[..., Any], Mapping[str, Any]]:
        entry = self.info(name)
        builder = entry.load()
        if not callable(builder):
            raise PluginError(f"{singular(self.kind)} {name!r} is no callable but {type(builder).__name__}")
        return builder, entry.given

    def _plugged(self) -> list[Entry]:
        return [e for plugin in installed() for e in plugin.entries if e.kind == self.kind]

    def lookup(self, name: str) -> list[Entry]:
        """Entries that answer to `name`: ours first and alone, so no installation changes a model.

        A prefix answers to whatever follows it; whether there is such a thing, its builder finds out.
        """
        prefix, _, rest = name.partition(":")
        if rest and prefix in self._prefixes:
            return [Entry(self.kind, name, self._prefixes[prefix], given={"name": rest})]
        if name in self._own:
            return [self._own[name]]
        owner = normalise(prefix) if rest else ""
        return [e for e in self._plugged() if name == e.name or (owner, rest) == (normalise(e.owner), e.name)]
