"""Read the kind and the `ModelInfo` of model folders and released models, without torch."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gantl_zoo.errors import UsageError
from gantl_zoo.registry.model_info import ModelInfo, from_config
from gantl_zoo.registry.plugins import Entry
from gantl_zoo.registry.releases import LazyModel, description_of
from gantl_zoo.storage.card.facts import expression
from gantl_zoo.storage.headers import INDEX, Stored, look
from gantl_zoo.storage.schema import parts_of, read_config

CLASSES = {"gan": "GAN", "backbone": "Classifier", "adapter": "Adapter"}  # by the kind of a folder
# tensors that PyTorch's layers store besides their parameters: running statistics, spectral norm's vectors
BUFFERS = re.compile(r"(.*\.)?(running_mean|running_var|num_batches_tracked|weight_u|weight_v|0\._u|0\._v)")


def check_kind(name: object, config: Mapping[str, Any], expected: str | None) -> None:
    """Raise `UsageError` if a model is not of the `expected` kind, if given."""
    kind = config.get("kind")
    if expected is None or kind not in CLASSES or kind == expected:
        return
    other = CLASSES[kind]
    if kind == "adapter":
        raise UsageError(f"{name} is an adapter, not a {CLASSES[expected]}; {how_to_add(name, config)}")
    if expected == "adapter":
        raise UsageError(
            f"{name} is a {other}, not an adapter; gantl-zoo adapter {name} --to FOLDER saves what a "
            "transfer changed in a GAN"
        )
    ways = f"{other}.from_pretrained or load_model"
    raise UsageError(f"{name} is a {other}, not a {CLASSES[expected]}; load it with {ways}")


def how_to_add(name: object, config: Mapping[str, Any]) -> str:
    """How to use an adapter's folder, as the end of an error message."""
    return f"add it to its base: {expression(str(name), config)}"


def folder_info(folder: str | Path, **more: Any) -> ModelInfo:
    """The `ModelInfo` of a folder, read from `config.json` and file headers; `more` are further fields.

    Names distinguish buffers from parameters, so buffers of layers outside of PyTorch are counted, too.
    Raises `WeightsError`.
    """
    folder = Path(folder)
    config = read_config(folder)
    stored = [look(file) for file in weights_files(folder, config).values()]
    count = sum(map(parameters, stored))
    return from_config(config, folder=folder, parameters=count, bytes=sum(map(size, stored)), **more)


def stored_networks(folder: Path, config: Mapping[str, Any]) -> dict[str, Stored]:
    """The weights of those networks of a folder whose files have been fetched. Raises `WeightsError`."""
    files = weights_files(folder, config)
    return {part: look(file) for part, file in files.items() if file.is_file() or index_of(file).is_file()}


def weights_files(folder: Path, config: Mapping[str, Any]) -> dict[str, Path]:
    """`{"generator": …/generator.safetensors, …}`; shards have an index in place of this file."""
    return {part: folder / f"{part}.safetensors" for part in parts_of(config)}


def index_of(file: Path) -> Path:
    """The index of a network's shards, if it is stored in shards."""
    return file.with_name(file.name + INDEX)


def release_info(entry: Entry) -> ModelInfo:
    """The `ModelInfo` of a released model. Imports its plug-in, if any, to find its folder.

    Its folder, parameters and bytes are None if the folder is written at first use, and is not there yet.
    Raises `PluginError`, `WeightsError`.
    """
    more = {"name": entry.name, "owner": entry.owner, "version": entry.version}
    folder, source = description_of(entry), entry.load()
    if isinstance(source, LazyModel) and folder == source.description:
        return from_config(read_config(folder), **more)
    return folder_info(folder, **more)


def parameters(stored: Stored) -> int:
    """The number of parameters in a network's files."""
    kept = [slot for name, slot in stored.slots.items() if not BUFFERS.fullmatch(name)]
    return sum(math.prod(slot.shape) for slot in kept)


def size(stored: Stored) -> int:
    """The size in bytes of a network's files: one file, or shards and their index."""
    index = index_of(stored.path)
    files = [*stored.files, *([index] if index.is_file() else [])]
    return sum(file.stat().st_size for file in files)
