"""The plug-ins that a model folder needs, and whether their installed versions fit."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from gantl_zoo.errors import WeightsError
from gantl_zoo.registry.plugins import installed, normalise
from gantl_zoo.storage.requirements import install_line, is_range


def others(requires: Mapping[str, str]) -> dict[str, str]:
    """The installed versions of the plug-ins that are not the required ones."""
    versions = {normalise(plugin.name): plugin.version for plugin in installed()}
    present = {package: versions.get(normalise(package), "") for package in requires}
    return {p: version for p, version in present.items() if version and not fits(version, requires[p])}


def fits(version: str, required: str) -> bool:
    """Whether a version is the required one or in the required range."""
    if not is_range(required):
        return version == required
    from packaging.specifiers import InvalidSpecifier, SpecifierSet  # takes 10 ms to import

    try:
        return SpecifierSet(required).contains(version, prereleases=True)
    except InvalidSpecifier:
        return True


def check_ranges(folder: str | Path, requires: Mapping[str, str]) -> None:
    """Raise `WeightsError` if a plug-in is installed in a version outside the range that the folder states.

    Another version than the exact one that a folder was saved with may work.
    """
    ranges = {package: version for package, version in requires.items() if is_range(version)}
    for package, version in others(ranges).items():
        raise WeightsError(
            f"{folder} needs {package} {ranges[package]}, but {version} is installed; if you trust it: "
            f"{install_line({package: ranges[package]})}"
        )


def hint(requires: Mapping[str, str]) -> str:
    """What to do after a model could not be loaded, if its plug-ins have other versions; else ""."""
    present = others(requires)
    if not present:
        return ""
    saved = " and ".join(f"{package} {requires[package]}" for package in present)
    line = install_line({package: requires[package] for package in present})
    return f"; it was saved with {saved}, but {' and '.join(present.values())} is installed: try {line}"
