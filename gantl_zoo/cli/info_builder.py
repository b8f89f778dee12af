"""The page of a registered name: its documentation, its arguments and an example."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from itertools import takewhile
from typing import Any

from gantl_zoo.cli.printing import bold, facts as columns, paragraph, section, width, wrapped
from gantl_zoo.errors import UsageError
from gantl_zoo.registry.builtins import REGISTRIES
from gantl_zoo.registry.field_help import NAMES, field_help
from gantl_zoo.registry.plugins import singular
from gantl_zoo.training.presets import Preset, load_preset

LEFT = 32  # columns for an argument and its default
EXAMPLES = {
    "generators": "gantl-zoo train {name} --data ./photos --image-size 64",
    "discriminators": "gantl-zoo train dcgan --discriminator {name} --data ./photos --image-size 64",
    "backbones": "gantl-zoo classify train {name} --data mnist",
    "strategies": "gantl-zoo transfer dcgan-mnist --data glyphs --strategy {name}",
    "losses": "gantl-zoo train dcgan --data ./photos --image-size 64 --loss {name}",
    "augmentations": "gantl-zoo train dcgan --data ./photos --image-size 64 --aug {name}",
    "regularizers": "gantl-zoo train dcgan --data ./photos --image-size 64 --regularizer {name}",
    "datasets": "gantl-zoo train dcgan --data {name}",
    "metrics": "gantl-zoo evaluate dcgan-mnist --data mnist --metrics {name}",
    "presets": "gantl-zoo train dcgan --data ./photos --preset {name}",
    "formats": "gantl-zoo import {name} FILE --to my-gan --licence mit",
}
TRANSFER = "gantl-zoo transfer dcgan-mnist --data {data} --preset {name}"
OWN_EXAMPLES = {  # of built-in names that need other data or options
    ("generators", "r3"): "gantl-zoo train r3 --data ./photos --preset r3",
    ("discriminators", "r3"): "gantl-zoo train r3 --discriminator r3 --data ./photos --image-size 64",
    ("generators", "resnet"): "gantl-zoo train resnet --data cifar10",
    ("discriminators", "resnet"): "gantl-zoo train dcgan --discriminator resnet --data cifar10",
    ("discriminators", "fast"): "gantl-zoo train fast --data ./photos --image-size 64 --loss hinge",
    ("discriminators", "packed"): (
        "gantl-zoo train dcgan --discriminator packed --discriminator-arg pack=3 --data stacked-mnist"
    ),
    ("discriminators", "san"): "gantl-zoo train dcgan --discriminator san --data mnist --loss hinge",
    ("discriminators", "backbone"): (
        "gantl-zoo train dcgan --discriminator backbone --discriminator-arg weights=cnn-mnist --data mnist"
    ),
    ("backbones", "discriminator"): "gantl-zoo classify transfer dcgan-mnist --data mnist",
    ("strategies", "projected"): (
        "gantl-zoo transfer dcgan-mnist --data glyphs --strategy projected --loss hinge --aug diffaugment"
    ),
    ("formats", "state-dict"): (
        "gantl-zoo import state-dict FILE --generator dcgan --generator-arg image_size=64 --to my-gan"
    ),
    ("presets", "dcgan-faces"): "gantl-zoo train --data ./photos --preset dcgan-faces",
    ("presets", "dcgan-fashion-mnist"): TRANSFER.format(data="fashion-mnist", name="dcgan-fashion-mnist"),
    ("presets", "dcgan-mnist"): "gantl-zoo train --data mnist --preset dcgan-mnist",
    ("presets", "dcgan-mnist-conditional"): "gantl-zoo train --data mnist --preset dcgan-mnist-conditional",
    ("presets", "fastgan"): "gantl-zoo train --data ./photos --image-size 64 --preset fastgan",
    ("presets", "few-shot"): TRANSFER.format(data="glyphs --shots 10", name="few-shot"),
    ("presets", "fast"): TRANSFER.format(data="glyphs", name="fast"),
    ("presets", "quality"): "gantl-zoo train dcgan --data mnist --preset quality",
    ("presets", "r3"): "gantl-zoo train --data ./photos --preset r3",
    ("presets", "scratch-64"): "gantl-zoo train --data ./photos --image-size 64 --preset scratch-64",
    ("presets", "stacked-mnist"): "gantl-zoo train --data stacked-mnist --preset stacked-mnist",
    ("presets", "stylegan2"): "gantl-zoo train --data ./photos --image-size 64 --preset stylegan2",
    ("presets", "transfer"): TRANSFER.format(data="glyphs", name="transfer"),
}


def facts(kind: str, name: str) -> dict[str, Any]:
    """The data of a registered name's page. Imports the object. Raises `PluginError`."""
    entry = REGISTRIES[kind].lookup(name)[0]
    target = load_preset(name) if kind == "presets" else entry.load()
    text = target.description if isinstance(target, Preset) else prose(inspect.getdoc(target) or "")
    example = OWN_EXAMPLES.get((kind, entry.name), EXAMPLES.get(kind, ""))
    return {
        "kind": singular(kind),
        "name": entry.name,
        "owner": entry.owner,
        "version": entry.version,
        "reference": entry.reference,
        "documentation": text,
        "arguments": arguments(kind, name, target),
        "measured": target.measured if isinstance(target, Preset) else "",
        "examples": [example.format(name=name)] if example else [],
    }


def prose(docstring: str) -> str:
    """The paragraphs of a docstring before that of the arguments, each on one line."""
    paragraphs = docstring.split("\n\n")
    before = takewhile(lambda text: not NAMES.match(text), paragraphs)
    return "\n\n".join(" ".join(text.split()) for text in before)


def arguments(kind: str, name: str, target: Any) -> dict[str, dict[str, Any]]:
    """`{"width": {"default": 64, "help": "…"}}`: the arguments of a builder, or the fields of a value."""
    if isinstance(target, Preset):
        reasons = target.reasons
        return {key: {"default": value, "help": reasons.get(key, "")} for key, value, _ in target.describe()}
    texts = field_help(target if isinstance(target, type) or callable(target) else type(target))
    if is_dataclass(target) and not isinstance(target, type):
        values: Mapping[str, Any] = {f.name: getattr(target, f.name) for f in fields(target)}
    elif isinstance(target, Mapping):
        values = target
    elif callable(target) and kind != "datasets":  # a data set is called with a split, not built
        try:
            values = REGISTRIES[kind].configure(name)
        except UsageError:  # an argument has no default
            known = inspect.signature(target).parameters
            values = {key: "needed" if p.default is p.empty else p.default for key, p in known.items()}
    else:
        values = {}
    return {key: {"default": value, "help": texts.get(key, "")} for key, value in values.items()}


def page(about: Mapping[str, Any]) -> str:
    """The page for people."""
    owner = "" if about["owner"] == "gantl_zoo" else f", from {about['owner']} {about['version']}".rstrip()
    lines = [bold(f"{about['name']}: {about['kind']}{owner}"), *described(about["documentation"])]
    rows = [[f"{key}={one['default']!r}", one["help"]] for key, one in about["arguments"].items()]
    lines += section("Settings" if about["measured"] else "Arguments", argument_lines(rows))
    lines += section("Measured", paragraph(about["measured"]))
    lines += section("Examples", [line for one in about["examples"] for line in shell_lines(one)])
    lines += section("Source", [about["reference"]])
    return "\n".join(lines)


def described(text: str) -> list[str]:
    """The lines of paragraphs, with an empty line between two of them."""
    return [line for part in text.split("\n\n") for line in ("", *wrapped(part))][1:]


def shell_lines(command: str) -> list[str]:
    """A command that may be pasted into a shell, with a backslash where a line goes on."""
    whole = re.sub(r"(--\S+) (?!-)", "\\1\0", command)  # an option and its value stay together
    first, *more = wrapped(whole, width() - 8)
    lines = [line.replace("\0", " ") for line in (first, *(f"    {line}" for line in more))]
    return [f"{line} \\" for line in lines[:-1]] + lines[-1:]


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
