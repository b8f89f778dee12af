"""A second, independent reader of model folders: checks that a loaded model matches its files."""

from __future__ import annotations

import hashlib
import json
import math
from typing import Any

import numpy as np
from mutate import Files

NUMPY = {"F32": "<f4", "F16": "<f2", "I64": "<i8"}  # the dtypes in the folders of fuzz.py
KEYS = {
    "format", "kind", "name", "dtype", "generator", "discriminator", "backbone", "image", "latent_dim",
    "num_classes", "requires", "lineage", "training", "metrics", "license", "files",
}  # fmt: skip


def compare(model: Any, files: Files) -> None:
    """Raise `AssertionError` unless the model has exactly the content of the files."""
    config = strictly(files["config.json"])
    assert set(config) <= KEYS and config["format"] == 1, "keys"
    roles = ("generator", "discriminator") if config["kind"] == "gan" else ("backbone",)
    for role in roles:
        network = getattr(model, role)
        if role == "discriminator" and network is None:
            assert not config.get(role)
            continue
        part = config[role]
        assert set(part) <= {"name", "config"} and model.parts[role]["name"] == part["name"], "name"
        assert json.dumps(model.parts[role]["config"]) == json.dumps(part.get("config", {})), "arguments"
        for value in part.get("config", {}).values():
            assert not isinstance(value, (int, float)) or abs(value) <= 1 << 16, "range"
        tensors = second_reader(files, "model" if role == "backbone" else role, config)
        state = network.state_dict()
        assert set(tensors) == set(state), "names"
        for name, array in tensors.items():
            mine = state[name].numpy()
            assert np.isfinite(array).all() and array.shape == mine.shape, name
            assert (array.dtype.kind, array.astype(mine.dtype).tobytes()) == (
                mine.dtype.kind,
                mine.tobytes(),
            ), name
    if config["kind"] == "gan" and "image" in config:
        image = [config["image"][side] for side in ("channels", "height", "width")]
        assert image == list(model.image_shape) and all(type(side) is int for side in image), "image"
    for key in ("latent_dim", "num_classes"):
        has = getattr(model.generator if config["kind"] == "gan" else model, key, None)
        assert key not in config or (type(config[key]) is int and config[key] == has), key


def second_reader(files: Files, part: str, config: dict[str, Any]) -> dict[str, Any]:
    """Read the tensors of a network with JSON and NumPy only. Raises for anything invalid."""
    whole, index = f"{part}.safetensors", f"{part}.safetensors.index.json"
    placed = strictly(files[index])["weight_map"] if index in files else None
    assert (index in files) != (whole in files), "one file, or shards"
    tensors: dict[str, Any] = {}
    for name in [whole] if placed is None else sorted(set(placed.values())):
        data = files[name]
        if pinned := config.get("files"):
            assert hashlib.sha256(data).hexdigest() == pinned[name]["sha256"], "hash"
        length = int.from_bytes(data[:8], "little")
        header, rest = strictly(data[8 : 8 + length]), data[8 + length :]
        header.pop("__metadata__", None)
        covered = 0
        for key, entry in sorted(header.items(), key=lambda item: item[1]["data_offsets"]):
            low, high = entry["data_offsets"]
            assert low == covered and key not in tensors and (placed is None or placed[key] == name), "places"
            dtype = np.dtype(NUMPY[entry["dtype"]])
            assert high - low == dtype.itemsize * math.prod(entry["shape"]), "size"
            tensors[key] = np.frombuffer(rest[low:high], dtype).reshape(entry["shape"])
            assert dtype.kind != "f" or dtype.itemsize == (2 if config.get("dtype") == "float16" else 4), (
                "dtype"
            )
            covered = high
        assert covered == len(rest), "cover"
    assert placed is None or set(placed) == set(tensors), "index"
    return tensors


def strictly(data: bytes) -> Any:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        assert len({key for key, _ in pairs}) == len(pairs), "a key twice"
        return dict(pairs)

    def no(text: str) -> None:
        raise AssertionError(text)

    return json.loads(data.decode(), object_pairs_hook=once, parse_constant=no)
