"""What `list` and `info` show of a model: read from its folder, without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.registry.plugins import Entry

BUFFERS = re.compile(r"(running_mean|running_var|num_batches_tracked|weight_u|weight_v|0\._u|0\._v)$")


def folder_of(entry: Entry) -> Path | None:
    """The folder of a model that is built in; None for a plug-in's, which would have to be imported."""
    found = entry.load() if entry.owner == "gantl_zoo" or entry.target is not None else None
    return Path(found) if isinstance(found, (str, Path)) else None


def model_facts(folder: Path) -> dict[str, Any]:
    """Image shape, weights' bytes and a description. Raises `WeightsError`."""
    from gantl_zoo.storage.schema import read_config

    config = read_config(folder)
    return {
        "image": image_of(config),
        "bytes": sum(file.stat().st_size for file in folder.glob("*.safetensors")),
        "summary": describe(config),
    }


def image_of(config: Mapping[str, Any]) -> list[int] | None:
    """(C, H, W) of the images that a GAN generates, or that a classifier was trained on."""
    if image := config.get("image"):
        return [image["channels"], image["height"], image["width"]]
    shape = config.get("lineage", {}).get("data", {}).get("shape")
    right = isinstance(shape, list) and len(shape) == 3 and all(type(side) is int for side in shape)
    return shape if right else None


def describe(config: Mapping[str, Any]) -> str:
    """One line: architecture, kind and data."""
    lineage, count = config.get("lineage", {}), config.get("num_classes")
    if config["kind"] == "gan":
        classes = f", {count} classes" if count else ""
        what = f"{config['generator']['name']} GAN{classes}"
    else:
        what = f"{config['backbone']['name']} classifier, {count} classes"
    data, base = lineage.get("data", {}).get("name"), lineage.get("base_model")
    return what + (f", trained on {data}" if data else "") + (f", transferred from {base}" if base else "")


def parameters(folder: Path, config: Mapping[str, Any]) -> dict[str, int]:
    """The number of parameters of each network whose weights are in the folder. Raises `WeightsError`."""
    from gantl_zoo.storage.headers import INDEX, look
    from gantl_zoo.storage.schema import parts_of

    files = {part: folder / f"{part}.safetensors" for part in parts_of(config)}
    there = {p: f for p, f in files.items() if f.is_file() or f.with_name(f.name + INDEX).is_file()}
    slots = {part: look(file).slots for part, file in there.items()}
    return {
        part: sum(math.prod(slot.shape) for name, slot in found.items() if not BUFFERS.search(name))
        for part, found in slots.items()
    }
