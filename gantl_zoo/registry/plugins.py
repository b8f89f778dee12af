"""Registered names, and the installed plug-ins that add names. Imports neither torch nor a plug-in.

Plug-ins are entry points of the groups `gantl_zoo.generators`, `gantl_zoo.discriminators`, … An old name of
an object goes on working as an entry point of the group `gantl_zoo.deprecated.generators`, … with the same
reference as the new name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import PluginError
from gantl_zoo.registry.imports import resolve, resolve_plugin, top_level
from gantl_zoo.version import VERSION

if TYPE_CHECKING:
    from importlib.metadata import Distribution

KINDS = (
    "models",
    "generators",
    "discriminators",
    "backbones",
    "strategies",
    "losses",
    "augmentations",
    "regularizers",
    "presets",
    "datasets",
    "metrics",
    "weights",
    "formats",
)
PREFIX, DEPRECATED = "gantl_zoo.", "gantl_zoo.deprecated."  # of groups of entry points


@dataclass(frozen=True)
class Entry:
    """A registered name: its owner, the reference to its object, and arguments that the name itself gives."""

    kind: str
    name: str
    reference: str
    owner: str = "gantl_zoo"
    version: str = VERSION
    target: Any = field(default=None, compare=False, repr=False)
    given: Mapping[str, Any] = field(default_factory=dict, compare=False, repr=False)
    instead: str = ""  # the new name, if this one is deprecated

    @property
    def qualified(self) -> str:
        """`owner:name`, which no other plug-in can shadow."""
        return f"{self.owner}:{self.name}"

    def load(self) -> Any:
        """Import the object. Raises `PluginError` with plug-in, version, kind and cause."""
        if self.target is not None:
            return self.target
        if self.owner == "gantl_zoo":
            return resolve(self.reference)
        try:
            return resolve_plugin(self.reference)
        except (Exception, SystemExit) as error:  # a plug-in may even call sys.exit() when imported
            raise PluginError(
                f"plug-in {self.owner} {self.version} could not load {singular(self.kind)} {self.name!r} "
                f"({self.reference}): {type(error).__name__}: {error}; fix it, uninstall it, or set "
                f"GANTL_ZOO_DISABLE_PLUGINS={self.owner}"
            ) from error


@dataclass(frozen=True)
class Plugin:
    """An installed distribution that registers names, found without importing it."""

    name: str
    version: str
    entries: tuple[Entry, ...]
    wrong: tuple[str, ...] = ()  # messages about invalid names


def singular(kind: str) -> str:
    """The singular of a kind: `"strategies"` becomes `"strategy"`; "weights" has none."""
    if kind == "weights":
        return kind
    if kind.endswith("ies"):
        return kind[:-3] + "y"
    return kind[:-2] if kind.endswith("sses") else kind[:-1]


def guide(kind: str) -> str:
    """The page of the guide for the authors of a kind, such as `docs/authors/generator.md`."""
    return f"docs/authors/{singular(kind)}.md"


def wrong_name(kind: str, name: str) -> str:
    """What is wrong with a name, or "". `/`, `:` and `@` are special in addresses, so names exclude them."""
    if re.fullmatch(r"[a-z0-9][a-z0-9._-]*", name):
        return ""
    return f"{singular(kind)} name {name!r}: use lower-case letters, digits, '-', '_', '.'"


def normalise(name: str) -> str:
    """Normalise a distribution's name as package tools do."""
    return re.sub(r"[-_.]+", "-", name).lower()


@cache
def installed() -> tuple[Plugin, ...]:
    """Installed plug-ins that are not disabled, sorted by name. Cached until `rescan`."""
    from importlib.metadata import distributions  # takes 40 ms, so not at import

    switched_off = os.environ.get("GANTL_ZOO_DISABLE_PLUGINS", "").split(",")
    disabled = {normalise(name.strip()) for name in switched_off}
    if "all" in disabled:
        return ()
    plugins: dict[str, Plugin] = {}
    for distribution in distributions():
        entries = _entries(distribution)
        if entries and normalise(entries[0].owner) not in disabled | set(plugins):
            wrong = {entry: wrong_name(entry.kind, entry.name) for entry in entries}
            good = tuple(entry for entry in entries if not wrong[entry])
            owner, version = entries[0].owner, entries[0].version
            plugins[normalise(owner)] = Plugin(owner, version, good, tuple(filter(None, wrong.values())))
    return tuple(plugins[name] for name in sorted(plugins))


def rescan() -> None:
    """Clear the cache of plug-ins: the next look-up scans the installed packages again."""
    installed.cache_clear()


def may_be_plugin(distribution: Distribution) -> bool:
    """Whether a possibly damaged distribution may have entry points of gantl_zoo."""
    try:
        return "gantl_zoo." in (distribution.read_text("entry_points.txt") or "")
    except Exception:  # unreadable
        return True


def plugin_of(error: BaseException) -> Plugin | None:
    """The plug-in in whose code an error was raised: that of the innermost frame of a plug-in, or None."""
    owners = {top_level(entry.reference): plugin for plugin in installed() for entry in plugin.entries}
    owner, trace = None, error.__traceback__
    while trace is not None:
        module = str(trace.tb_frame.f_globals.get("__name__", ""))
        owner = owners.get(module.partition(".")[0], owner)
        trace = trace.tb_next
    return owner


def _entries(distribution: Distribution) -> tuple[Entry, ...]:
    """The entry points of a distribution, as entries. () for a damaged one, such as after an interrupted
    upgrade, with a warning if it may be a plug-in.
    """
    current, renamed = list[Entry](), list[Entry]()
    try:
        for point in distribution.entry_points:
            old = point.group.startswith(DEPRECATED)
            kind = point.group.removeprefix(DEPRECATED if old else PREFIX)
            if point.group.startswith(PREFIX) and kind in KINDS:
                owner, version = distribution.metadata["Name"], distribution.version
                normalise(owner), normalise(version)  # raises if one is missing
                entry = Entry(kind, point.name, point.value, owner, version)
                (renamed if old else current).append(entry)
    except Exception as error:
        place = getattr(distribution, "_path", "an installed package")
        if may_be_plugin(distribution):
            from gantl_zoo.console import warn  # logging takes longer to import than names to list

            warn(f"{place} is damaged, so its names are missing ({error}); reinstall it")
        return ()
    new = {(entry.kind, entry.reference): entry.name for entry in current}
    current += [replace(e, instead=new[key]) for e in renamed if (key := (e.kind, e.reference)) in new]
    return tuple(sorted(current, key=lambda entry: (entry.kind, entry.name)))
