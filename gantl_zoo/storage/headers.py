"""Read and check the headers of safetensors files before any tensor is loaded. Does not import torch.

The format (https://huggingface.co/docs/safetensors): 8 bytes with the header's length, little-endian; the
header, JSON; the tensors' bytes without gaps. A large network is split into shards as the Hub's libraries do
it: `NAME.safetensors.index.json` maps each tensor to its shard.
"""

from __future__ import annotations

import math
import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from gantl_zoo.errors import WeightsError
from gantl_zoo.storage import untrusted

MAX_FILE_BYTES = 1 << 36  # 64 GiB; larger networks are sharded
MAX_HEADER_BYTES = MAX_INDEX_BYTES = 1 << 21  # 2 MiB, enough for about 16,000 tensors
MAX_SHARDS = 1000
MAX_AXES = 16
INDEX = ".index.json"
# the weights files and their indices, as `write_folder` names them
WEIGHTS = r"(generator|discriminator|model|adapter)(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?"
DTYPES = {
    "BOOL": ("bool", 1), "U8": ("uint8", 1), "I8": ("int8", 1), "I16": ("int16", 2), "I32": ("int32", 4),
    "I64": ("int64", 8), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "F32": ("float32", 4),
    "F64": ("float64", 8),
}  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """A tensor's entry in a header. `dtype` is torch's name of it."""

    dtype: str
    shape: tuple[int, ...]
    size: int  # bytes


@dataclass(frozen=True)
class Stored:
    """A network on disk: the entries of its tensors, and the files that hold them."""

    path: Path  # NAME.safetensors, also if there are shards instead of this file
    slots: dict[str, Slot] = field(default_factory=dict)
    files: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        """The total number of elements of all tensors."""
        return sum(math.prod(slot.shape) for slot in self.slots.values())


def look(path: str | Path) -> Stored:
    """The headers of NAME.safetensors, or of the shards in its index. Raises `WeightsError`."""
    path = Path(path)
    index = path.with_name(path.name + INDEX)
    if not os.path.exists(index):
        slots = read_header(path)
        return Stored(path, slots, {path: list(slots)})
    if os.path.exists(path):
        raise WeightsError(f"{path} and {index.name} both exist: delete the older one")
    shards, total_size = read_index(index)
    slots = {}
    for shard, names in shards.items():
        header = read_header(shard)
        if odd := sorted(set(header) ^ set(names)):
            where = "missing from this file" if odd[0] in names else f"not listed for it in {index.name}"
            raise WeightsError(
                f"{shard}: tensor {odd[0][:80]} is {where}; they are of different models: download both again"
            )
        slots |= header
    total = sum(slot.size for slot in slots.values())
    if total_size != total:
        raise WeightsError(
            f"{index} has a total_size of {str(total_size)[:40]} bytes, but the shards have {total}; "
            "download them again"
        )
    return Stored(path, slots, shards)


def read_index(index: Path) -> tuple[dict[Path, list[str]], Any]:
    """Read an index: `{shard: names of its tensors}`, and the total size in bytes. Raises `WeightsError`."""
    content = untrusted.read_json(index, MAX_INDEX_BYTES, "an index of shards")
    placed = (
        content.get("weight_map")
        if isinstance(content, dict) and set(content) == {"metadata", "weight_map"}
        else None
    )
    if not isinstance(placed, dict) or not placed or not isinstance(content["metadata"], dict):
        raise WeightsError(
            f"{index} is not a valid index of shards: it must have 'metadata' and a 'weight_map' only; "
            "download it again"
        )
    stem = index.name.removesuffix(f".safetensors{INDEX}")
    files: dict[str, list[str]] = {}
    for name, file in placed.items():
        if not isinstance(file, str) or not re.fullmatch(
            rf"{re.escape(stem)}-\d{{5}}-of-\d{{5}}\.safetensors", file, re.A
        ):
            raise WeightsError(
                f"{index} maps tensor {name[:80]} to {str(file)[:80]!r}, but a shard is a file such as "
                f"{stem}-00001-of-00002.safetensors beside the index; download it again"
            )
        files.setdefault(file, []).append(name)
    expected = [f"{stem}-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))]
    if len(files) > MAX_SHARDS or sorted(files) != expected:
        raise WeightsError(
            f"{index} lists the shards {', '.join(sorted(files)[:4])}, which are not numbered without gaps; "
            "download them again"
        )
    return {index.with_name(file): files[file] for file in expected}, content["metadata"].get("total_size")


def read_header(path: Path) -> dict[str, Slot]:
    """The tensors' entries by name, checked against the file's size. Raises `WeightsError`."""
    size = untrusted.size_of(path, MAX_FILE_BYTES, "a weights file")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            start += file.read(min(length, MAX_HEADER_BYTES, 64))
            if size < 8 or length > size - 8:
                raise ValueError("it ends inside its header")
            if length > MAX_HEADER_BYTES:
                raise ValueError(f"its header has {length:,} bytes, the limit is {MAX_HEADER_BYTES:,}")
            file.seek(8)
            return check_header(file.read(length), size - 8 - length)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        likely = untrusted.sniff(start) or f"it is damaged or truncated ({error}); download it again"
        raise WeightsError(f"{path} is not a readable safetensors file: {likely}") from error


def check_header(data: bytes, room: int) -> dict[str, Slot]:
    """Parse a header whose tensors must fill exactly `room` bytes. Raises `ValueError`."""
    header = untrusted.parse(data)
    if not data.startswith(b"{") or not isinstance(header, dict):
        raise ValueError("its header is not a JSON object")
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ValueError("its __metadata__ must map strings to strings")
    if not header:
        raise ValueError("it has no tensors")
    slots, places = {}, []
    for name, entry in header.items():
        slots[name], begin = _slot(name, entry)
        places.append((begin, begin + slots[name].size))
    places.sort()
    if [end for _, end in places] != [begin for begin, _ in places[1:]] + [room] or places[0][0] != 0:
        raise ValueError(f"its tensors don't exactly fill the {room:,} bytes after the header")
    return slots


def _slot(name: str, entry: Any) -> tuple[Slot, int]:
    """Check one entry of a header; returns it with the offset of its first byte."""
    untrusted.check_text(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name[:80]!r} must have dtype, shape, data_offsets and nothing else")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(
                f"tensor {name[:80]!r}: shape and data_offsets must be lists of non-negative integers"
            )
    if len(shape) > MAX_AXES or len(offsets) != 2:
        raise ValueError(f"tensor {name[:80]!r} has {len(shape)} axes and {len(offsets)} offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise ValueError(f"tensor {name[:80]!r} has the unsupported dtype {str(entry['dtype'])[:20]!r}")
    dtype, width = DTYPES[entry["dtype"]]
    size = width * math.prod(shape)
    if size != offsets[1] - offsets[0]:
        raise ValueError(f"tensor {name[:80]!r} needs {size:,} bytes, but its offsets are {offsets}")
    return Slot(dtype, tuple(shape), size), offsets[0]
