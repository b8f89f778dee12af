"""Snapshots of NVIDIA's training script and of those derived from it: pickles of `{"G", "D", "G_ema", …}`."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

from gantl_zoo.convert.tree import Persisted, kind
from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import printable

MARKS = {"Model.": "r3gan", "mapping.": "stylegan2-ada", "g_ema": "rosinality", "G_ema": "stylegan2-ada"}


def other_format(names: Iterable[Any]) -> str:
    """A hint, if keys of a file or names of tensors are those of another format; else ""."""
    formats = {to for name in names for start, to in MARKS.items() if str(name).startswith(start)}
    return f"; try the format {formats.pop()}" if len(formats) == 1 else ""


def networks_of(tree: Any, program: str) -> tuple[Persisted, Persisted | None]:
    """The averaged generator `G_ema` and the discriminator, None if there is none. Raises `WeightsError`."""
    if not isinstance(tree, Mapping):
        raise WeightsError(f"it holds a {kind(tree)}, not a snapshot of {program}, a dict with G_ema and D")
    if tree.get("G_ema") is None:
        keys = printable(", ".join(map(str, list(tree)[:8]))) or "nothing"
        raise WeightsError(
            f"it is not a snapshot of {program}: it has {keys}, but not G_ema{other_format(tree)}"
        )
    generator, discriminator = tree["G_ema"], tree.get("D")
    for name, network in (("G_ema", generator), ("D", discriminator)):
        if network is not None and not isinstance(network, Persisted):
            raise WeightsError(
                f"it is not a snapshot of {program}: {name} is a {kind(network)}, not a network"
            )
    return generator, discriminator


def attribute(network: Persisted, path: str, name: str) -> Any:
    """An attribute of a module inside a pickled network; None if the module or the attribute is missing."""
    for part in path.split("."):
        inner = network.state.get("_modules")
        child = inner.get(part) if isinstance(inner, Mapping) else None
        if not isinstance(child, Persisted):
            return None
        network = child
    return network.state.get(name)


def number(value: Any, name: str) -> float | None:
    """The value as a finite number, None if it is None. Raises `WeightsError`."""
    if value is None:
        return None
    if not isinstance(value, (int, float)) or not math.isfinite(value):
        raise WeightsError(f"{name} is a {kind(value)}, not a finite number")
    return float(value)
