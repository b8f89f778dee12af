"""Names, and where they lead. Imports no torch and, until `load`, no plug-in.

Five registries of one class: a name maps to a reference `"package.module:object"`, which is imported
at the first `load` or `build`. Built-ins are the tables at the end of this file; `plugins.py` finds
those of installed packages; scripts use `register`.
"""

from __future__ import annotations

import difflib
import fnmatch
import inspect
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from gantl_zoo.arguments import misfit
from gantl_zoo.errors import NameTakenError, PluginError, UnknownNameError, UsageError
from gantl_zoo.plugins import Entry, installed, normalise, singular, wrong_name

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


def folder_at(name: str | Path) -> Path | None:
    """The model folder at that path, which may be a run's; None if no folder is there."""
    folder = Path(name)
    for place in (folder / "model", folder):  # a run folder has a config.json of its own
        if os.path.isfile(place / "config.json"):  # False, too, where a name is too long to be one
            return place
    if os.path.isdir(folder):
        raise UnknownNameError(f"{name} is a folder, but no model or run folder: it has no config.json")
    return None


def release_folder(name: str | Path) -> Path:
    """The folder of that name, a path's or a release's. Raises `UnknownNameError`."""
    try:
        if place := folder_at(name):
            return place
        entry = models.info(str(name))
        if not isinstance(found := entry.load(), str | os.PathLike):
            what = f"{entry.owner}'s model {entry.name!r} is a {type(found).__name__}"
            raise PluginError(f"{what}, where the path of its folder should be")
        return Path(found)
    except UnknownNameError as error:
        if os.path.isdir(name):
            raise
        raise UnknownNameError(f"{error}; neither is there a folder {name}") from None


REGISTRIES = {r.kind: r for r in (models, generators, discriminators, backbones, strategies)}


def requirements(*entries: Entry) -> dict[str, str]:
    """`{"plug-in": "version"}` of those entries that are not built in, for a folder's `requires`."""
    return {e.owner: e.version for e in entries if e.owner not in ("gantl_zoo", "script")}
