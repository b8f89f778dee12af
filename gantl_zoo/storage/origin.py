"""Read `pulled.json`, which `pull` writes: the Hub repository and the commit of a folder."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import Any

from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import read_json

MAX_BYTES = 1 << 20  # of that file, which lists up to a thousand shards
VALID = {"repo": r"\w[\w.-]*/\w[\w.-]*", "revision": "[0-9a-f]{40}"}
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


def pulled(folder: Path) -> dict[str, Any]:
    """The content of `pulled.json`; {} if it is missing or invalid."""
    try:
        origin = read_json(folder / ORIGIN, MAX_BYTES, "a record of where a model was pulled from")
    except WeightsError:
        return {}
    source = isinstance(origin, dict) and {key: origin.get(key) for key in VALID}
    valid = source and all(isinstance(v, str) and re.fullmatch(VALID[k], v) for k, v in source.items())
    return origin if valid and isinstance(origin.get("files", {}), dict) else {}
