"""Names, and where they lead. Imports no torch and, until `load`, no plug-in.

Five registries of one class: a name maps to a reference `"package.module:object"`, which is imported
at the first `load` or `build`. Built-ins are the tables at the end of this file; plug-ins are entry
points of the groups `gantl_zoo.generators`, `gantl_zoo.discriminators`, ...; scripts use `register`.
"""

from __future__ import annotations

import difflib
import fnmatch
import importlib
import inspect
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any, TypeVar

from gantl_zoo.arguments import misfit
from gantl_zoo.errors import NameTakenError, PluginError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from importlib.metadata import Distribution

T = TypeVar("T")
KINDS = ("models", "generators", "discriminators", "backbones", "strategies")

# Builder arguments that only fetch starting weights. A model folder carries its own weights, so these
# are not part of an architecture: folders are written without them and rebuilt with these values.
INITIALISERS: dict[str, Any] = {"weights": None, "pretrained": False, "of": None}


@dataclass(frozen=True)
class Entry:
    """One registered name: who owns it and where its object lives."""

    kind: str
    name: str
    reference: str
    owner: str = "gantl_zoo"
    version: str = ""
    target: Any = field(default=None, compare=False, repr=False)

    @property
    def qualified(self) -> str:
        """`owner:name`, which no other installation can shadow."""
        return f"{self.owner}:{self.name}"

    def load(self) -> Any:
        """Import the object. Raises `PluginError` that names plug-in, version, kind and cause."""
        if self.target is not None:
            return self.target
        try:
            module, _, path = self.reference.partition(":")
            if not module or not path:
                raise ValueError("a reference reads 'package.module:object'")
            found: Any = importlib.import_module(module)
            for part in path.split("."):
                found = getattr(found, part)
            return found
        except (Exception, SystemExit) as error:  # a plug-in may even call sys.exit() when imported
            if self.owner == "gantl_zoo":
                raise
            raise PluginError(
                f"plug-in {self.owner} {self.version} could not load {singular(self.kind)} {self.name!r} "
                f"({self.reference}): {type(error).__name__}: {error}; mend it, uninstall it, or set "
                f"GANTL_ZOO_DISABLE_PLUGINS={self.owner}"
            ) from error


@dataclass(frozen=True)
class Plugin:
    """An installed distribution that brings names, found without importing it."""

    name: str
    version: str
    entries: tuple[Entry, ...]


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
        check_name(self.kind, name)

        def add(found: T) -> T:
            owners = [entry for entry in [*self._own.values(), *self._plugged()] if entry.name == name]
            if owners and not override:
                raise NameTakenError(
                    f"{singular(self.kind)} {name!r} is taken by {owners[0].owner} "
                    f"({owners[0].reference}); choose another name or pass override=True"
                )
            module, path = getattr(found, "__module__", "?"), getattr(found, "__qualname__", repr(found))
            self._own[name] = Entry(self.kind, name, f"{module}:{path}", "script", target=found)
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
        prefix, _, rest = name.partition(":")
        if rest and prefix in self._prefixes:
            return Entry(self.kind, name, self._prefixes[prefix])
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
        """Import what `name` refers to."""
        return self.info(name).load()

    def configure(self, name: str, **config: Any) -> dict[str, Any]:
        """The full builder arguments: names and types checked against the builder, defaults filled in."""
        builder, fixed = self._builder(name)
        signature = inspect.signature(builder)
        known = {key: p for key, p in signature.parameters.items() if key not in fixed}
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
        builder, fixed = self._builder(name)
        return builder(**fixed, **self.configure(name, **config))

    def _builder(self, name: str) -> tuple[Callable[..., Any], dict[str, Any]]:
        prefix, _, rest = name.partition(":")
        fixed = {"name": rest} if rest and prefix in self._prefixes else {}
        builder = self.load(name)
        if not callable(builder):
            raise PluginError(f"{singular(self.kind)} {name!r} is no callable but {type(builder).__name__}")
        return builder, fixed

    def _plugged(self) -> list[Entry]:
        return [e for plugin in plugins() for e in plugin.entries if e.kind == self.kind]

    def lookup(self, name: str) -> list[Entry]:
        """Entries that answer to `name`: ours first and alone, so no installation changes a model."""
        if name in self._own:
            return [self._own[name]]
        return [e for e in self._plugged() if name in (e.name, e.qualified)]


def singular(kind: str) -> str:
    """`"strategies"` becomes `"strategy"`."""
    return kind[:-3] + "y" if kind.endswith("ies") else kind[:-1]


def check_name(kind: str, name: str) -> None:
    """Names are lower-case words; `/`, `:` and `@` have a meaning of their own."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        raise UsageError(f"{singular(kind)} name {name!r}: use lower-case letters, digits, '-', '_', '.'")


def normalise(name: str) -> str:
    """A distribution's name as package tools compare it."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def plugins() -> tuple[Plugin, ...]:
    """Installed plug-ins that are not disabled, sorted by name. Scanned once; `rescan` forgets."""
    from importlib.metadata import distributions  # costs 40 ms, so not at import

    disabled = {normalise(n) for n in os.environ.get("GANTL_ZOO_DISABLE_PLUGINS", "").split(",") if n}
    if "all" in disabled:
        return ()
    found: dict[str, Plugin] = {}
    for distribution in distributions():
        entries = _entries(distribution)
        if entries and normalise(entries[0].owner) not in disabled | set(found):
            found[normalise(entries[0].owner)] = Plugin(entries[0].owner, entries[0].version, entries)
    return tuple(found[name] for name in sorted(found))


def rescan() -> None:
    """Forget the scanned plug-ins, so that the next look-up sees what is installed now."""
    plugins.cache_clear()


def _entries(distribution: Distribution) -> tuple[Entry, ...]:
    found = []
    for point in distribution.entry_points:
        kind = point.group.removeprefix("gantl_zoo.")
        if point.group.startswith("gantl_zoo.") and kind in KINDS:
            owner, version = distribution.metadata["Name"], distribution.version
            found.append(Entry(kind, point.name, point.value, owner, version))
    return tuple(sorted(found, key=lambda entry: (entry.kind, entry.name)))


generators = Registry(
    "generators",
    {
        "dcgan": "gantl_zoo.networks.dcgan:generator",
        "resnet": "gantl_zoo.networks.resnet:generator",
    },
)
discriminators = Registry(
    "discriminators",
    {
        "dcgan": "gantl_zoo.networks.dcgan:discriminator",
        "resnet": "gantl_zoo.networks.resnet:discriminator",
        "backbone": "gantl_zoo.networks.backbone:discriminator",
    },
)
backbones = Registry(
    "backbones",
    {
        "cnn": "gantl_zoo.backbones.cnn:backbone",
        "discriminator": "gantl_zoo.backbones.discriminator:backbone",
    },
    prefixes={"timm": "gantl_zoo.backbones.timm:backbone"},
)
strategies = Registry(
    "strategies",
    {
        "ewc": "gantl_zoo.transfer.anchor:EWC",
        "freeze": "gantl_zoo.transfer.freeze:Freeze",
        "freeze-d": "gantl_zoo.transfer.freeze_d:FreezeD",
        "freeze-g": "gantl_zoo.transfer.freeze_d:FreezeG",
        "full": "gantl_zoo.transfer.strategy:TransferStrategy",
        "gradual": "gantl_zoo.transfer.gradual:Gradual",
        "l2-sp": "gantl_zoo.transfer.anchor:L2SP",
        "mirror": "gantl_zoo.transfer.mirror:Mirror",
        "partial": "gantl_zoo.transfer.partial:Partial",
        "projected": "gantl_zoo.transfer.projected:Projected",
        "scale-shift": "gantl_zoo.transfer.scale_shift:ScaleShift",
        "vision-aided": "gantl_zoo.transfer.projected:VisionAided",
    },
)
models = Registry(
    "models",
    {
        "cnn-fashion-mnist": "gantl_zoo.released:cnn_fashion_mnist",
        "cnn-mnist": "gantl_zoo.released:cnn_mnist",
        "dcgan-fashion-mnist": "gantl_zoo.released:dcgan_fashion_mnist",
        "dcgan-mnist": "gantl_zoo.released:dcgan_mnist",
        "timm-mobilenetv3-cifar10": "gantl_zoo.released:timm_mobilenetv3_cifar10",
    },
)


def release_or(name: str) -> str:
    """The folder of the release of that name; else the name itself, as a folder's."""
    return str(models.load(name)) if name in models else name


REGISTRIES = {r.kind: r for r in (models, generators, discriminators, backbones, strategies)}


def requirements(*entries: Entry) -> dict[str, str]:
    """`{"plug-in": "version"}` of those entries that are not built in, for a folder's `requires`."""
    return {e.owner: e.version for e in entries if e.owner not in ("gantl_zoo", "script")}
