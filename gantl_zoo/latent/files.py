"""Files of latents and of directions: safetensors, with a JSON object as metadata."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from gantl_zoo.errors import DataError, WeightsError
from gantl_zoo.storage import untrusted
from gantl_zoo.storage.atomic import replace_file
from gantl_zoo.storage.folder import read_valid

KEY = "gantl_zoo"  # of the metadata


def write(path: str | Path, kind: str, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> Path:
    """Write tensors and what they are about; returns the path. Raises `DataError`."""
    path = Path(os.path.expanduser(path))
    text = untrusted.to_json({"kind": kind, **about}, f"the {kind}")
    stored = {name: tensor.detach().float().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        with replace_file(path) as beside:
            save_file(stored, beside, {KEY: json.dumps(json.loads(text))})
    except (OSError, SafetensorError) as error:
        raise DataError(
            f"can't write the {kind} {path}: {getattr(error, 'strerror', None) or error}"
        ) from error
    return path


def read(path: str | Path, kind: str) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """The tensors of a file, all finite, and what they are about. Raises `WeightsError`."""
    path = Path(os.path.expanduser(path))
    tensors = read_valid(path)
    with safe_open(path, framework="pt") as file:
        text = (file.metadata() or {}).get(KEY, "")
    try:
        about = untrusted.parse(text.encode())
    except (ValueError, RecursionError):
        about = None
    if not isinstance(about, dict) or about.get("kind") != kind:
        other = about.get("kind") if isinstance(about, dict) else None
        what = f"holds {str(other)[:40]}" if other else "was not written by gantl-zoo latent"
        raise WeightsError(f"{path} {what}; a file of {kind} is needed")
    return tensors, about
