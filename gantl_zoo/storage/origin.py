"""The note in a pulled folder: the repository and the commit that it came from."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import WeightsError
from gantl_zoo.storage.untrusted import read_json

if TYPE_CHECKING:
    pass


MOST = 1 << 20  # bytes of that note, which names each of up to a thousand shards


SOUND = {"repo": r"\w[\w.-]*/\w[\w.-]*", "revision": "[0-9a-f]{40}"}


ORIGIN = "pulled.json"  # beside the model in a folder that `pull --to` wrote: which repository and commit


def pulled_from(folder: Path) -> dict[str, str] | None:
    """Repository and commit of a folder that `pull` wrote and nobody has written since."""
    origin = pulled(folder)
    try:
        config = (folder / "config.json").read_bytes()
    except OSError:
        return None
    known = origin.get("config_sha256") == hashlib.sha256(config).hexdigest()
    return {"repo": origin["repo"], "revision": origin["revision"]} if known else None


def pulled(folder: Path) -> dict[str, Any]:
    """What `pull` noted in a folder; nothing if it did not, or if the note is none."""
    try:
        origin = read_json(folder / ORIGIN, MOST, "a note of where a model was pulled from")
    except WeightsError:
        return {}
    named = isinstance(origin, dict) and {key: origin.get(key) for key in ("repo", "revision")}
    sound = named and all(isinstance(v, str) and re.fullmatch(SOUND[k], v) for k, v in named.items())
    return origin if sound and isinstance(origin.get("files", {}), dict) else {}
