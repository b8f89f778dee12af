"""Validate the `config.json` of a model folder, which may come from an untrusted source. No torch.

`SCHEMA` maps each key to the check of its value. Unknown keys are rejected, since ignoring them could change
the model's meaning; a later layout has another `format`. A check returns what is wrong, or "".
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import WeightsError, unknown
from gantl_zoo.storage import untrusted
from gantl_zoo.storage.requirements import is_version

FORMAT = 1
KINDS = {"gan": ("generator", "discriminator"), "backbone": ("backbone",), "adapter": ("generator",)}
DTYPES = ("float32", "float16", "bfloat16")
MAX_CONFIG_BYTES = 1 << 20  # a usual config has a few kilobytes
AGAIN = "correct it, or download the folder again"
LARGEST = 1 << 16  # limit of every number in builder arguments: pixels, channels, layers
LONGEST = 256  # limit of the length of every list in builder arguments
WORD = r"[A-Za-z0-9][A-Za-z0-9._+-]*"
NAMED = re.compile(rf"(?:{WORD}:)?{WORD}", re.A)  # a registered name, `package:name`, `timm:name`
SHA256 = re.compile(r"[0-9a-f]{64}", re.A)
DIGEST = re.compile(r"[0-9a-f]{16}", re.A)
COMMIT = re.compile(r"[0-9a-f]{40}", re.A)
FILE = r"{part}(-\d{{5}}-of-\d{{5}})?\.safetensors(\.index\.json)?"

Check = Callable[[Any], str]  # what is wrong, or ""


def read_config(folder: str | Path) -> dict[str, Any]:
    """Read and validate the `config.json` of a model folder. Raises `WeightsError`."""
    path = Path(folder) / "config.json"
    if not os.path.exists(path):
        raise WeightsError(f"{path.parent} is not a model folder: it has no config.json")
    config = untrusted.read_json(path, MAX_CONFIG_BYTES, "a model's config")
    check_config(config, path)
    for part in KINDS[config["kind"]]:
        if config.get(part):
            config[part].setdefault("config", {})
    return dict(config)


def check_config(config: Any, path: Path) -> None:
    """Raise `WeightsError` unless `config` describes a model in this version's layout."""
    if not isinstance(config, dict) or not _one_of(config.get("kind"), KINDS):
        raise WeightsError(
            f"{path} is not the config of a gantl_zoo model: 'kind' must be one of {', '.join(KINDS)}"
        )
    if type(config.get("format")) is not int or config["format"] != FORMAT:
        raise WeightsError(
            f"{path} has format {config.get('format')!r:.40}, but this version reads {FORMAT}; "
            "upgrade gantl_zoo"
        )
    kind = config["kind"]
    article = "an" if kind == "adapter" else "a"
    known = SCHEMA | dict.fromkeys(KINDS[kind], network) | (IMAGES if kind != "backbone" else {})
    known |= DIFFERENCE if kind == "adapter" else {}
    if strange := [key for key in config if key not in known]:
        raise WeightsError(
            f"{path}: unknown key {strange[0][:80]!r}; {article} {kind}'s config of format {FORMAT} has "
            f"{', '.join(known)}. Delete the key, or upgrade gantl_zoo if a newer version wrote it"
        )
    for key, check in known.items():
        if key not in config:
            if key in (KINDS[kind][0], "base"):
                what = "a 'model' and a 'digest'" if key == "base" else "a 'name' and a 'config'"
                raise WeightsError(f"{path}: {key!r} is missing; it must be an object with {what}")
        elif key == "discriminator" and config[key] is None:
            continue
        elif wrong := check(config[key]):
            raise WeightsError(f"{path}: {wrong if key == 'dtype' else f'{key!r} {wrong}'}; {AGAIN}")
    if strange := [f for f in config.get("files", {}) if not _belongs(f, kind)]:
        raise WeightsError(
            f"{path}: 'files' lists {strange[0][:80]!r}, which is not a weights file of {article} {kind}; "
            f"{AGAIN}"
        )


def is_ours(text: str, *kinds: str) -> bool:
    """Whether the text of a possibly damaged `config.json` looks like a config of this library, of one of
    `kinds` if any are given.
    """
    return bool(re.search(rf'"kind":\s*"({"|".join(kinds or KINDS)})"', text))


def network(value: Any) -> str:
    """Check a network: a registered name, and builder arguments that are numbers, names or lists of them."""
    if not isinstance(value, dict) or not isinstance(value.get("name"), str):
        return "must be an object with a 'name' and a 'config'"
    if set(value) - {"name", "config"}:
        return (
            f"has the unknown key {min(set(value) - {'name', 'config'})[:80]!r}; it takes 'name' and 'config'"
        )
    if wrong := name(value["name"]):
        return f"has a 'name' that {wrong}"
    arguments = value.get("config", {})
    if not isinstance(arguments, dict):
        return "has a 'config' that is not an object"
    if len(arguments) > LONGEST:
        return f"has more than {LONGEST} arguments"
    for key, argument in arguments.items():
        if not re.fullmatch(r"[A-Za-z_]\w{0,63}", key, re.A):
            return f"has an argument {key[:80]!r}, which is not a valid argument name"
        if wrong := name(argument) if key in ("backbone", "network") else _argument(argument):
            return f"has an argument {key!r} that {wrong}"
    return ""


def _argument(value: Any, depth: int = 0) -> str:
    if isinstance(value, str):
        return title(value) if value else ""
    if isinstance(value, (int, float)) and abs(value) > LARGEST:
        return f"is {value:.6g}, above the limit of {LARGEST:,}"
    if isinstance(value, (list, dict)):
        inside = list(value.values() if isinstance(value, dict) else value)
        if len(inside) > LONGEST or depth > 2:
            return f"has more than {LONGEST} values or more than 3 levels"
        return next((wrong for one in inside if (wrong := _argument(one, depth + 1))), "")
    return ""


def name(value: Any) -> str:
    """Check a registered name."""
    if not isinstance(value, str) or len(value) > 128 or not NAMED.fullmatch(value) or ".." in value:
        return f"must be a registered name, NAME or PACKAGE:NAME, not {str(value)[:80]!r}"
    return ""


def title(value: Any) -> str:
    """Check a model's name: one line of text that can't be mistaken for a path."""
    if not isinstance(value, str) or len(value) > 200 or not value.isprintable():
        return "must be one line of at most 200 characters"
    if value.startswith(".") or ".." in value or re.search(r"[/\\]|^[A-Za-z]:", value):
        return f"must not look like a path, with '/', '\\' or '..': {value[:80]!r}"
    return ""


def count(least: int, most: int = LARGEST) -> Check:
    """A check for integers from `least` to `most`."""

    def check(value: Any) -> str:
        fits = type(value) is int and least <= value <= most  # not isinstance: a bool is an int
        return "" if fits else f"must be an integer from {least} to {most:,}, not {str(value)[:40]}"

    return check


def image(value: Any) -> str:
    """Check the shape of a GAN's images."""
    if not isinstance(value, dict) or set(value) != {"channels", "height", "width"}:
        return "must be an object with channels, height and width"
    return next((f"has a {key} that {wrong}" for key, n in value.items() if (wrong := count(1)(n))), "")


def dtype(value: Any) -> str:
    """Check the dtype of the stored weights."""
    return "" if _one_of(value, DTYPES) else unknown("dtype", value, DTYPES)


def requires(value: Any) -> str:
    """Check the plug-ins that a model needs: `{"package": "version"}`, or a range such as ">=0.3,<1"."""
    if not isinstance(value, dict):
        return "must map packages to versions"
    for package, version in value.items():
        if name(package) or not is_version(version):
            return f"must map packages to versions, not {package[:80]!r} to {str(version)[:40]!r}"
    return ""


def files(value: Any) -> str:
    """Check the hashes of the weights: `{"generator.safetensors": {"sha256": 64 hex digits}}`."""
    if not isinstance(value, dict):
        return "must be an object with file names as keys"
    for file, pin in value.items():
        digest = pin.get("sha256") if isinstance(pin, dict) and set(pin) == {"sha256"} else None
        if not isinstance(digest, str) or not SHA256.fullmatch(digest):
            return f"must map {file[:80]!r} to an object with a 'sha256' of 64 hexadecimal digits"
    return ""


def base(value: Any) -> str:
    """Check an adapter's base: the model's name, its commit on the Hub, the hash of its generator."""
    if not isinstance(value, dict) or set(value) - {"revision"} != {"model", "digest"}:
        return "must be an object with a 'model', a 'digest' and, on the Hub, a 'revision'"
    model = value["model"]
    if not isinstance(model, str) or not 0 < len(model) <= 1000 or not model.isprintable():
        return "must have a 'model' that is one line of text"
    for key, pattern in (("revision", COMMIT), ("digest", DIGEST)):
        if key in value and not (isinstance(value[key], str) and pattern.fullmatch(value[key])):
            return f"must have hexadecimal digits as {key!r}, not {str(value[key])[:80]!r}"
    return ""


def error(value: Any) -> str:
    """Check an adapter's error."""
    fits = type(value) in (int, float) and value >= 0
    return "" if fits else f"must be a number of at least 0, not {str(value)[:40]}"


def facts(value: Any) -> str:
    return "" if isinstance(value, dict) else "must be an object"


def lineage(value: Any) -> str:
    """Check the origin of a model, and of the model that it was fine-tuned from."""
    if not isinstance(value, dict) or not isinstance(value.get("data", {}), dict):
        return "must be an object whose 'data' is an object"
    return lineage(value["base_lineage"]) if "base_lineage" in value else ""


def training(value: Any) -> str:
    """Check the keys of `training` that are read again: classes, command, curves. All others are free."""
    if not isinstance(value, dict) or not isinstance(value.get("command", ""), str):
        return "must be an object whose 'command' is a string"
    classes = value.get("classes", [])
    if not isinstance(classes, (list, type(None))) or not all(isinstance(c, str) for c in classes or []):
        return "must have a list of names as 'classes'"
    content = value.get("curves") or {"curves": {}}
    curves = content.get("curves") if isinstance(content, dict) else None
    valid = isinstance(curves, dict) and all(_curve(points) for points in curves.values())
    return "" if valid else "must have 'curves' that map steps to numbers"


def metrics(value: Any) -> str:
    """Check a list of measured values."""
    if not isinstance(value, list):
        return "must be a list"
    for row in value:
        if not isinstance(row, dict) or not isinstance(row.get("name"), str) or row.get("value") is None:
            return "must be a list of objects with a 'name' and a 'value'"
        if not _number(row["value"]) or not _number(row.get("floor")):
            return f"must have numbers as values, not {str(row['value'])[:40]!r} for {row['name'][:80]!r}"
    return ""


def licence(value: Any) -> str:
    """Check the licence's name."""
    return "" if isinstance(value, str) and value.isprintable() else "must be one line of text"


def _curve(points: Any) -> bool:
    steps = r"\d{1,15}"
    return isinstance(points, dict) and all(
        re.fullmatch(steps, step, re.A) and _number(value) for step, value in points.items()
    )


def _number(value: Any) -> bool:
    return value is None or (isinstance(value, (int, float)) and not isinstance(value, bool))


def _one_of(value: Any, known: Mapping[str, Any] | tuple[str, ...]) -> bool:
    return isinstance(value, str) and value in known


def _belongs(file: str, kind: str) -> bool:
    parts = parts_of({"kind": kind, **dict.fromkeys(KINDS[kind], True)})
    return any(re.fullmatch(FILE.format(part=part), file, re.A) for part in parts)


SCHEMA: dict[str, Check] = {
    "format": count(FORMAT, FORMAT), "kind": lambda kind: "", "name": title, "dtype": dtype,
    "num_classes": count(0), "requires": requires, "lineage": lineage, "training": training,
    "metrics": metrics, "license": licence, "files": files,
}  # fmt: skip
IMAGES: dict[str, Check] = {"image": image, "latent_dim": count(1)}
DIFFERENCE: dict[str, Check] = {"base": base, "error": error}  # of an adapter


def parts_of(config: Mapping[str, Any], discriminator: bool = True) -> list[str]:
    """The names of a model's networks, or "adapter", as in the names of the weights files."""
    if (alone := {"backbone": "model", "adapter": "adapter"}.get(str(config.get("kind")))) is not None:
        return [alone]
    return [part for part in ("generator", "discriminator")[: 1 + discriminator] if config.get(part)]
