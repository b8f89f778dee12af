"""The origin of a model: the Hub repository and commit in `pulled.json`, or the file that was imported."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import read_json

MAX_BYTES = 1 << 20  # of that file, which lists up to a thousand shards
VALID = {"repo": r"\w[\w.-]*/\w[\w.-]*", "revision": "[0-9a-f]{40}"}
UNKNOWN = "unknown"  # licence of an imported file
ORIGIN = "pulled.json"  # in a folder that `pull --to` wrote


def pulled_from(folder: Path) -> dict[str, str] | None:
    """The repository and commit of a pulled folder; None if not pulled, or if its config has changed."""
    origin = pulled(folder)
    try:
        config = (folder / "config.json").read_bytes()
    except OSError:
        return None
    unchanged = origin.get("config_sha256") == hashlib.sha256(config).hexdigest()
    return {"repo": origin["repo"], "revision": origin["revision"]} if unchanged else None


def imported(config: Mapping[str, Any]) -> dict[str, Any]:
    """The file that a model, or the first model of its lineage, was imported from; {} if none was.

    Its format, name and SHA-256, the licence of its weights, and terms of use if its format has some.
    """
    lineage: Any = config.get("lineage")
    while isinstance(lineage, dict):
        if isinstance(found := lineage.get("imported"), dict):
            return found
        lineage = lineage.get("base_lineage")
    return {}


def non_commercial(licence: str) -> bool:
    """Whether a licence's id says that it is for non-commercial use."""
    return re.search(r"(^|[-_ ])nc([-_ ]|$)|non-?commercial", licence, re.I) is not None


def pulled(folder: Path) -> dict[str, Any]:
    """The content of `pulled.json`; {} if it is missing or invalid."""
    try:
        origin = read_json(folder / ORIGIN, MAX_BYTES, "a record of where a model was pulled from")
    except WeightsError:
        return {}
    source = isinstance(origin, dict) and {key: origin.get(key) for key in VALID}
    valid = source and all(isinstance(v, str) and re.fullmatch(VALID[k], v) for k, v in source.items())
    return origin if valid and isinstance(origin.get("files", {}), dict) else {}
