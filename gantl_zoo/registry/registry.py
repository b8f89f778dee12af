"""`Registry` maps names to objects. Imports no torch, and no plug-in until `load`.

A name maps to a reference `"package.module:object"`, which is imported at the first `load` or `build`. The
tables in `builtins.py` register built-in names; `plugins.py` finds those of installed packages; scripts call
`register`. `owner:name`, such as `gantl_zoo:dcgan`, selects the name of that owner.

A builder takes keyword arguments that JSON can store, and a model folder stores them. Arguments that only
select starting weights are declared with `starting_weights` (`arguments.py`) and not stored.
"""

from __future__ import annotations

import fnmatch
import inspect
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from gantl_zoo.errors import NameTakenError, PluginError, UnknownNameError, UsageError, suggestion, unknown
from gantl_zoo.registry.arguments import misfit
from gantl_zoo.registry.imports import errors_of, resolve
from gantl_zoo.registry.plugins import Entry, installed, normalise, singular, wrong_name

if TYPE_CHECKING:
    from gantl_zoo.registry.model_info import ModelInfo

T = TypeVar("T")


class Registry:
    """A mapping from names to objects that are imported on first use."""

    def __init__(
        self,
        kind: str,
        builtins: Mapping[str, str],
        prefixes: Mapping[str, str] | None = None,
        renamed: Mapping[str, str] | None = None,
    ) -> None:
        """`renamed` has the new name of each deprecated one, which goes on working with a warning."""
        self.kind = kind
        self._built_in = {name: Entry(kind, name, reference) for name, reference in builtins.items()}
        self._built_in |= {
            old: Entry(kind, old, builtins[new], instead=new) for old, new in (renamed or {}).items()
        }
        self._warned: set[str] = set()
        self._own = dict(self._built_in)
        self._prefixes = dict(prefixes or {})
        self.nested: dict[str, tuple[Registry, ...]] = {}  # argument name: the registries of its values

    def register(self, name: str, target: Any = None, *, override: bool = False) -> Callable[[T], T]:
        """Register `target` under `name`, or decorate with `@registry.register("name")`.

        Raises `NameTakenError` if the name is taken, unless `override=True`; `UsageError` if it is invalid.
        """
        if wrong := wrong_name(self.kind, name):
            raise UsageError(wrong)

        def add(target: T) -> T:
            owners = [entry for entry in [*self._own.values(), *self._plugged()] if entry.name == name]
            if owners and not override:
                raise NameTakenError(
                    f"{singular(self.kind)} {name!r} is taken by {owners[0].owner} "
                    f"({owners[0].reference}); choose another name or pass override=True"
                )
            module, path = getattr(target, "__module__", "?"), getattr(target, "__qualname__", repr(target))
            self._own[name] = Entry(self.kind, name, f"{module}:{path}", "script", "", target=target)
            return target

        if target is not None:
            add(target)
        return add

    def names(self, pattern: str = "*") -> list[str]:
        """Sorted names that match the shell `pattern`; `owner:name` for a name that two plug-ins register."""
        known = {name for name, entry in self._own.items() if not entry.instead}
        for entry in self._plugged():
            if entry.instead:
                continue
            bare = self.lookup(entry.name)
            known.add(entry.name if bare == [entry] else entry.qualified)
        return sorted(name for name in known if fnmatch.fnmatchcase(name, pattern))

    def info(self, name: str) -> Entry:
        """What is known about `name`: its entry. Raises `UnknownNameError`."""
        return self.entry(name)

    def entry(self, name: str) -> Entry:
        """The entry of `name`, without importing it. Raises `UnknownNameError`.

        A deprecated name has the entry of the new one, and is reported once.
        """
        entries = self.lookup(name)
        if len(entries) == 1:
            return self._current(entries[0])
        what = singular(self.kind)
        if entries:
            choices = ", ".join(entry.qualified for entry in entries)
            raise UnknownNameError(f"two plug-ins have a {what} {name!r}; name one of {choices}")
        prefixes = "".join(f", or {prefix}:NAME" for prefix in self._prefixes)
        hint = f"gantl-zoo list --kind {self.kind} shows all{prefixes}"
        owners = [entry.qualified for entry in [*self._built_in.values(), *self._plugged()]]
        raise UnknownNameError(unknown(what, name, owners if ":" in name else self.names(), hint=hint))

    def _current(self, entry: Entry) -> Entry:
        """The entry, or that of its new name if it is deprecated."""
        if not entry.instead:
            return entry
        same = [*self._own.values(), *self._plugged()]
        new = next(e for e in same if (e.name, e.owner) == (entry.instead, entry.owner))
        if entry.qualified not in self._warned:
            from gantl_zoo.console import warn  # logging takes longer to import than names to list

            self._warned.add(entry.qualified)
            warn(f"{singular(self.kind)} {entry.name!r} is now called {new.name!r}; use the new name")
        return new

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and len(self.lookup(name)) == 1

    def load(self, name: str) -> Any:
        """Import the object of `name`. Raises `UnknownNameError`, or `PluginError` if the import fails."""
        return self.entry(name).load()

    def configure(self, name: str, /, **config: Any) -> dict[str, Any]:
        """The builder's complete arguments: `config`, checked against its signature, and its defaults.

        Raises `UsageError` for an unknown, missing or mistyped argument.
        """
        builder, given = self._builder(name)
        known, open_ended = self.takes(name)
        what = f"{singular(self.kind)} {name!r}"
        for key in sorted(set(config) - set(known)):
            if key in given or not open_ended:
                raise UsageError(f"{what} takes no argument {key!r}{suggestion(key, known, 'it takes')}")
        missing = [key for key, p in known.items() if p.default is p.empty]
        if absent := sorted(set(missing) - set(config)):
            raise UsageError(f"{what} needs {', '.join(absent)}")
        if wrong := misfit(builder, config):
            raise UsageError(f"{what}: {wrong}")
        defaults = {key: p.default for key, p in known.items() if p.default is not p.empty}
        return defaults | config

    def build(self, name: str, /, **config: Any) -> Any:
        """Call the builder of `name` with keyword arguments.

        Raises `UsageError` for invalid arguments, `PluginError` for an error in the builder of a plug-in.
        """
        builder, given = self._builder(name)
        config = self.configure(name, **config)
        entry = self.entry(name)
        with errors_of(entry.owner, entry.version, f"{singular(self.kind)} {name!r} can't be built"):
            return builder(**given, **config)

    def build_empty(self, name: str, /, **config: Any) -> Any:
        """Build without starting weights, whatever `config` has for them: the caller loads weights."""
        inner = {
            f"{key}_config": own | source.fetching(part, own)
            for key, source, part, own in self.parts(config)
            if self._apart(name, config, key)
        }
        return self.build(name, **config | inner | self.fetching(name, config))

    def fetching(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments that only select starting weights, with values that select none.

        Those that the builder declares, and those that it forwards to the builder of an inner network, which
        declares them.
        """
        arguments = dict(getattr(self._builder(name)[0], "starting_weights", {}))
        known, open_ended = self.takes(name)
        for key, source, part, own in self.parts(config) if open_ended else ():
            if not self._apart(name, config, key):
                arguments |= {k: v for k, v in source.fetching(part, own).items() if k not in known}
        return arguments

    def described(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """`{"name": …, "config": …}` as a model folder stores them.

        Without the arguments that only select starting weights, also those of inner networks.
        """
        left_out = self.fetching(name, config)
        kept = {key: value for key, value in config.items() if key not in left_out}
        for key, source, part, own in self.parts(config):
            inside = source.described(part, own)
            kept |= {key: inside["name"]}
            if self._apart(name, config, key):
                kept[f"{key}_config"] = inside["config"]
            else:
                kept.pop(f"{key}_config", None)
        return {"name": self.spelled(name), "config": kept}

    def entries(self, name: str, config: Mapping[str, Any]) -> list[Entry]:
        """The entries of `name` and of all inner networks, at any depth."""
        inside = [e for _, source, part, own in self.parts(config) for e in source.entries(part, own)]
        return [self.entry(name), *inside]

    def parts(self, config: Mapping[str, Any]) -> Iterator[tuple[str, Registry, str, dict[str, Any]]]:
        """Yield each inner network: the argument that names it, its registry, its name, its own arguments.

        The last are those in `<argument>_config`; {} if there is no such argument.
        """
        for key, sources in self.nested.items():
            name, own = config.get(key), config.get(f"{key}_config")
            owners = [source for source in sources if isinstance(name, str) and source.lookup(name)]
            if owners:
                yield key, owners[0], str(name), dict(own) if isinstance(own, Mapping) else {}

    def _apart(self, name: str, config: Mapping[str, Any], key: str) -> bool:
        """Whether the inner network of the argument `key` has its arguments in `<key>_config`.

        If that is None, and the builder takes further keyword arguments, it forwards those instead.
        """
        nested = f"{key}_config"
        return nested in config and (config[nested] is not None or not self.takes(name)[1])

    def takes(self, name: str) -> tuple[dict[str, inspect.Parameter], bool]:
        """The builder's named parameters, and whether it also takes `**kwargs`."""
        builder, given = self._builder(name)
        free = [p for p in inspect.signature(builder).parameters.values() if p.name not in given]
        known = {p.name: p for p in free if p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)}
        return known, any(p.kind is p.VAR_KEYWORD for p in free)

    def _builder(self, name: str) -> tuple[Callable[..., Any], Mapping[str, Any]]:
        entry = self.entry(name)
        builder = entry.load()
        if not callable(builder):
            raise PluginError(f"{singular(self.kind)} {name!r} is a {type(builder).__name__}, not a callable")
        return builder, entry.given

    def _plugged(self) -> list[Entry]:
        return [e for plugin in installed() for e in plugin.entries if e.kind == self.kind]

    def lookup(self, name: str) -> list[Entry]:
        """The entries that match `name`: built-in and script names first and alone, then those of plug-ins.

        So no installed plug-in changes what an existing model means. A prefix, such as `timm:`, matches any
        name that follows; its builder checks that it exists.
        """
        for prefix, reference in self._prefixes.items():
            hub = rf"(?:hf[-_]hub:)?{prefix}/"  # the Hub's own spelling of timm's names
            if match := re.fullmatch(rf"(?:{prefix}:(?:{hub})?|{hub})(.+)", name):
                return [Entry(self.kind, f"{prefix}:{match[1]}", reference, given={"name": match[1]})]
        prefix, _, rest = name.partition(":")
        if name in self._own:
            return [self._own[name]]
        owner = normalise(prefix) if rest else ""
        if owner == normalise("gantl_zoo"):
            return [self._built_in[rest]] if rest in self._built_in else []
        entries = [*self._own.values(), *self._plugged()]
        return [e for e in entries if name == e.name or (owner, rest) == (normalise(e.owner), e.name)]

    def spelled(self, name: str) -> str:
        """The canonical form of a name, as model folders store it: `timm:NAME` for each of its spellings, the
        new name for a deprecated one.
        """
        entries = self.lookup(name)
        if len(entries) == 1 and entries[0].instead:
            new = self._current(entries[0])
            return new.qualified if len(self.lookup(new.name)) > 1 else new.name
        return entries[0].name if entries and entries[0].name.partition(":")[0] in self._prefixes else name


class Releases(Registry):
    """The registry of released models, whose names lead to model folders."""

    describe = "gantl_zoo.model.info:release_info"  # reads a folder, so it stands with the models

    def info(self, name: str) -> ModelInfo:  # type: ignore[override]
        """Sizes, image shape, classes, origin and metrics of a released model, read from its folder without
        torch; `entry` gives only the package that brings it, and costs no import of a plug-in.

        Raises `UnknownNameError`, `PluginError`, `WeightsError`.
        """
        about: ModelInfo = resolve(self.describe)(self.entry(name))
        return about

    # A released model that is an inner network of another one brings its own arguments and weights.

    def fetching(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        return {}

    def described(self, name: str, config: Mapping[str, Any]) -> dict[str, Any]:
        return {"name": name, "config": {}}

    def entries(self, name: str, config: Mapping[str, Any]) -> list[Entry]:
        return [self.entry(name)]
