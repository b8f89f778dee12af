"""Features of real images, kept between runs: by the content of the images and of the extractor.

In GANTL_ZOO_CACHE, or the user's cache folder; "off" keeps nothing. Deleting the folder is always safe.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from gantl_zoo.metrics.extractors import Looks
from gantl_zoo.storage.atomic import replace_file

FORMAT = 1  # to be raised when what is kept, or how it is computed, changes


def folder() -> Path | None:
    """Where features are kept, or None."""
    place = os.environ.get("GANTL_ZOO_CACHE", "")
    if place == "off":
        return None
    return Path(os.path.expanduser(place)) if place else Path.home() / ".cache" / "gantl_zoo" / "features"


def kept(key: tuple[object, ...], make: Callable[[], Looks]) -> Looks:
    """What is kept under `key`, or else what `make` gives, which is kept from now on."""
    place = folder()
    if place is None:
        return make()
    words = json.dumps([FORMAT, torch.__version__, *key], default=str)
    path = place / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.safetensors"
    try:
        found = load_file(path)
        return found["features"], found.get("logits")
    except (OSError, SafetensorError, KeyError):  # not there, or cut short: it is made anew
        made = make()
    keep(path, made)
    return made


def keep(path: Path, made: Looks) -> None:
    """Keep features. A full disk or a read-only home costs only the time next time."""
    tensors = {k: v for k, v in zip(("features", "logits"), made, strict=True) if v is not None}
    with contextlib.suppress(OSError, SafetensorError), replace_file(path) as beside:
        save_file(tensors, beside)
