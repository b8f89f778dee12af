"""What a safetensors file says it holds, checked before a tensor of it is touched. No torch.

The layout (https://huggingface.co/docs/safetensors): 8 bytes with the header's length, little-endian; the
header, JSON; the tensors' bytes without gaps. A large network is split over shards with an index beside
them, as the Hub's libraries do: `NAME.safetensors.index.json` says which tensor is in which shard.
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

MAX_FILE_BYTES = 1 << 36  # 64 GiB; larger networks come in shards
MAX_HEADER_BYTES = MAX_INDEX_BYTES = 1 << 21  # two megabytes are some sixteen thousand tensors
MAX_SHARDS = 1000
MAX_AXES = 16
INDEX = ".index.json"
# the files of a model's networks, as we write them
WEIGHTS = r"(generator|discriminator|model)(-\d{5}-of-\d{5})?\.safetensors(\.index\.json)?"
DTYPES = {
    "BOOL": ("bool", 1), "U8": ("uint8", 1), "I8": ("int8", 1), "I16": ("int16", 2), "I32": ("int32", 4),
    "I64": ("int64", 8), "F16": ("float16", 2), "BF16": ("bfloat16", 2), "F32": ("float32", 4),
    "F64": ("float64", 8),
}  # fmt: skip


@dataclass(frozen=True)
class Slot:
    """One tensor as a header describes it. `dtype` is torch's name."""

    dtype: str
    shape: tuple[int, ...]
    size: int  # bytes


@dataclass(frozen=True)
class Stored:
    """A network on disk: its tensors, and the files that hold them."""

    path: Path  # NAME.safetensors, whether that is one file or shards
    slots: dict[str, Slot] = field(default_factory=dict)
    files: dict[Path, list[str]] = field(default_factory=dict)

    @property
    def numbers(self) -> int:
        """How many numbers the tensors hold together."""
        return sum(math.prod(slot.shape) for slot in self.slots.values())


def look(path: str | Path) -> Stored:
    """What lies at NAME.safetensors, or in the shards that its index names. Raises `WeightsError`."""
    path = Path(path)
    index = path.with_name(path.name + INDEX)
    if not os.path.exists(index):
        slots = read_header(path)
        return Stored(path, slots, {path: list(slots)})
    if os.path.exists(path):
        raise WeightsError(f"{path} and {index.name} are both there: delete the one that is older")
    shards, total_size = read_index(index)
    slots = {}
    for shard, names in shards.items():
        found = read_header(shard)
        if odd := sorted(set(found) ^ set(names)):
            where = "not in this file" if odd[0] in names else f"in this file, but not so in {index.name}"
            raise WeightsError(
                f"{shard}: tensor {odd[0][:80]} is {where}: they are of different models; fetch them again"
            )
        slots |= found
    total = sum(slot.size for slot in slots.values())
    if total_size != total:
        raise WeightsError(
            f"{index} tells a total_size of {str(total_size)[:40]} bytes, the shards hold {total}; fetch "
            "them again"
        )
    return Stored(path, slots, shards)


def read_index(index: Path) -> tuple[dict[Path, list[str]], Any]:
    """`{shard: names}` of an index and its total size; NAME-00001-of-0000N.safetensors, all N of them."""
    found = untrusted.read_json(index, MAX_INDEX_BYTES, "an index of shards")
    placed = (
        found.get("weight_map")
        if isinstance(found, dict) and set(found) == {"metadata", "weight_map"}
        else None
    )
    if not isinstance(placed, dict) or not placed or not isinstance(found["metadata"], dict):
        raise WeightsError(
            f"{index} is no index of shards: it needs a 'metadata' and a 'weight_map', and no more; "
            "fetch it again"
        )
    stem = index.name.removesuffix(f".safetensors{INDEX}")
    files: dict[str, list[str]] = {}
    for name, file in placed.items():
        if not isinstance(file, str) or not re.fullmatch(
            rf"{re.escape(stem)}-\d{{5}}-of-\d{{5}}\.safetensors", file, re.A
        ):
            raise WeightsError(
                f"{index} puts tensor {name[:80]} into {str(file)[:80]!r}; a shard is called "
                f"{stem}-00001-of-00002.safetensors and lies beside its index; fetch it again"
            )
        files.setdefault(file, []).append(name)
    wanted = [f"{stem}-{i + 1:05}-of-{len(files):05}.safetensors" for i in range(len(files))]
    if len(files) > MAX_SHARDS or sorted(files) != wanted:
        raise WeightsError(
            f"{index} names the shards {', '.join(sorted(files)[:4])}: they must be numbered without gaps; "
            "fetch them again"
        )
    return {index.with_name(file): files[file] for file in wanted}, found["metadata"].get("total_size")


def read_header(path: Path) -> dict[str, Slot]:
    """Names, dtypes and shapes of a safetensors file whose offsets fit its size. Raises `WeightsError`."""
    size = untrusted.size_of(path, MAX_FILE_BYTES, "a weights file")
    try:
        with open(path, "rb") as file:
            start = file.read(8)
            length = int.from_bytes(start, "little")
            start += file.read(min(length, MAX_HEADER_BYTES, 64))
            if size < 8 or length > size - 8:
                raise ValueError("it ends before its header does")
            if length > MAX_HEADER_BYTES:
                raise ValueError(
                    f"its header has {length:,} bytes, and more than {MAX_HEADER_BYTES:,} are not read"
                )
            file.seek(8)
            return check_header(file.read(length), size - 8 - length)
    except OSError as error:
        raise WeightsError(f"{path} can't be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        likely = (
            untrusted.sniff(start) or f"it is damaged or was cut in the download ({error}); fetch it again"
        )
        raise WeightsError(f"{path} is no readable safetensors file: {likely}") from error


def check_header(data: bytes, room: int) -> dict[str, Slot]:
    """The slots of a header whose tensors fill `room` bytes exactly. Raises `ValueError`."""
    header = untrusted.parse(data)
    if not data.startswith(b"{") or not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
    about = header.pop("__metadata__", {})
    if not isinstance(about, dict) or not all(isinstance(value, str) for value in about.values()):
        raise ValueError("its __metadata__ must map strings to strings")
    if not header:
        raise ValueError("it holds no tensor")
    slots, places = {}, []
    for name, entry in header.items():
        slots[name], begin = _slot(name, entry)
        places.append((begin, begin + slots[name].size))
    places.sort()
    if [end for _, end in places] != [begin for begin, _ in places[1:]] + [room] or places[0][0] != 0:
        raise ValueError(f"its tensors don't fill the {room:,} bytes behind the header exactly")
    return slots


def _slot(name: str, entry: Any) -> tuple[Slot, int]:
    """A header's entry, and where its bytes begin."""
    untrusted.check_text(name)
    if not isinstance(entry, dict) or set(entry) != {"dtype", "shape", "data_offsets"}:
        raise ValueError(f"tensor {name[:80]!r} needs a dtype, a shape and data_offsets, and no more")
    shape, offsets = entry["shape"], entry["data_offsets"]
    for numbers in (shape, offsets):
        if not isinstance(numbers, list) or any(type(n) is not int or n < 0 for n in numbers):
            raise ValueError(f"tensor {name[:80]!r}: shape and data_offsets are lists of whole numbers")
    if len(shape) > MAX_AXES or len(offsets) != 2:
        raise ValueError(f"tensor {name[:80]!r} has {len(shape)} axes and {len(offsets)} offsets")
    if not isinstance(entry["dtype"], str) or entry["dtype"] not in DTYPES:
        raise ValueError(
            f"tensor {name[:80]!r} has dtype {str(entry['dtype'])[:20]!r}, which no network here has"
        )
    dtype, width = DTYPES[entry["dtype"]]
    size = width * math.prod(shape)
    if size != offsets[1] - offsets[0]:
        raise ValueError(f"tensor {name[:80]!r} needs {size:,} bytes, but its offsets are {offsets}")
    return Slot(dtype, tuple(shape), size), offsets[0]
