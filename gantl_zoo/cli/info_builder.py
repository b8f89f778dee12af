"""The page of a registered name: its documentation, its arguments and an example."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from gantl_zoo.cli.printing import bold, facts as columns, paragraph, section, width, wrapped
from gantl_zoo.errors import UsageError
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.field_help import field_help
from gantl_zoo.registry.plugins import singular
from gantl_zoo.training.presets import Preset, load_preset

LEFT = 32  # columns for an argument and its default
EXAMPLES = {
    "generators": ["gantl-zoo train {name} --data ./photos --image-size 64"],
    "discriminators": ["gantl-zoo train dcgan --discriminator {name} --data ./photos --image-size 64"],
    "backbones": ["gantl-zoo classify train {name} --data mnist"],
    "strategies": ["gantl-zoo transfer dcgan-mnist --data glyphs --strategy {name}"],
    "datasets": ["gantl-zoo train dcgan --data {name}"],
    "presets": ["gantl-zoo train dcgan --data ./photos --preset {name}"],
}


def facts(kind: str, name: str) -> dict[str, Any]:
    """The data of a registered name's page. Imports the object. Raises `PluginError`."""
    entry = REGISTRIES[kind].lookup(name)[0]
    target = load_preset(name) if kind == "presets" else entry.load()
    text = target.description if isinstance(target, Preset) else inspect.getdoc(target) or ""
    return {
        "kind": singular(kind),
        "name": entry.name,
        "owner": entry.owner,
        "version": entry.version,
        "reference": entry.reference,
        "documentation": text.split("\n\n")[0].replace("\n", " "),
        "arguments": arguments(kind, name, target),
        "measured": target.measured if isinstance(target, Preset) else "",
        "examples": [line.format(name=name) for line in EXAMPLES.get(kind, ())],
    }


def arguments(kind: str, name: str, target: Any) -> dict[str, dict[str, Any]]:
    """`{"width": {"default": 64, "help": "…"}}`: the arguments of a builder, or the fields of a value."""
    if isinstance(target, Preset):
        reasons = target.reasons
        return {
            key: {"default": value, "help": reasons.get(key, "")} for key, value in target.settings.items()
        }
    texts = field_help(target if isinstance(target, type) or callable(target) else type(target))
    if is_dataclass(target) and not isinstance(target, type):
        values: Mapping[str, Any] = {f.name: getattr(target, f.name) for f in fields(target)}
    elif isinstance(target, Mapping):
        values = target
    elif callable(target) and kind != "datasets":  # a data set is called with a split, not built
        try:
            values = REGISTRIES[kind].configure(name)
        except UsageError:  # an argument has no default
            values = {key: "needed" for key in inspect.signature(target).parameters}
    else:
        values = {}
    return {key: {"default": value, "help": texts.get(key, "")} for key, value in values.items()}


def page(found: Mapping[str, Any]) -> str:
    """The page for people."""
    owner = "" if found["owner"] == "gantl_zoo" else f", from {found['owner']} {found['version']}".rstrip()
    lines = [bold(f"{found['name']}: {found['kind']}{owner}"), *wrapped(found["documentation"])]
    rows = [[f"{key}={one['default']!r}", one["help"]] for key, one in found["arguments"].items()]
    lines += section("Settings" if found["measured"] else "Arguments", argument_lines(rows))
    lines += section("Measured", paragraph(found["measured"]))
    lines += section("Examples", found["examples"])
    lines += section("Source", [found["reference"]])
    return "\n".join(lines)


def argument_lines(rows: list[list[str]]) -> list[str]:
    """Each argument with its default, and its help beside it or, where that is too long, below it."""
    left = min(LEFT, 2 + max((len(name) for name, _ in rows), default=0))
    lines = []
    for name, text in rows:
        if len(name) + 2 > left:
            lines += [name, *(" " * left + line for line in wrapped(text, width() - left - 2))]
        else:
            lines += columns([(name, text)], left) if text else [name]
    return lines
