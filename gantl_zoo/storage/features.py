"""A cache on disk for features of images. Keys are hashes of the images, or of what makes them, and of the
network that computes the features.

The environment variable GANTL_ZOO_CACHE names the folder (default `~/.cache/gantl_zoo/features`); "off"
disables the cache. The folder can be deleted at any time.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.cache import features_folder

Outputs = tuple[Tensor, Tensor | None]  # features and, of a classifier, logits
FORMAT = 1  # increase it when the stored content, or its computation, changes


def kept(key: tuple[object, ...], make: Callable[[], Outputs]) -> Outputs:
    """Return the cached features of `key`, or compute them with `make` and cache them."""
    place = features_folder()
    if place is None:
        return make()
    words = json.dumps([FORMAT, torch.__version__, *key], default=str)
    path = place / f"{hashlib.sha256(words.encode()).hexdigest()[:32]}.safetensors"
    try:
        tensors = load_file(path)
        return tensors["features"], tensors.get("logits")
    except (OSError, SafetensorError, KeyError):  # missing or truncated: compute it again
        outputs = make()
    keep(path, outputs)
    return outputs


def keep(path: Path, outputs: Outputs) -> None:
    """Write features to the cache. Ignores a full disk or a read-only home: they only cost time."""
    tensors = {k: v for k, v in zip(("features", "logits"), outputs, strict=True) if v is not None}
    with contextlib.suppress(OSError, SafetensorError), replace_file(path) as beside:
        save_file(tensors, beside)
