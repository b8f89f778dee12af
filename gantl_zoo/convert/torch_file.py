"""Read what `torch.save` writes: the zip format, and the older one, a sequence of pickles and raw storages.

The tag of a tensor's device, such as `cuda:0`, is ignored: all tensors are read to the CPU.
"""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Callable
from typing import Any

import torch

from gantl_zoo.convert.limits import Use
from gantl_zoo.convert.machine import Machine
from gantl_zoo.convert.rebuild import Name
from gantl_zoo.convert.tensors import STORAGES, Storage
from gantl_zoo.errors import WeightsError

MAGIC = 0x1950A86A20F9469CFC6C  # the first value of the older format
PROTOCOL = 1001
MAX_RECORDS = 100_000
ENTRY = b"PK\x01\x02"  # begins each entry of a zip's directory
KEY = re.compile(r"[0-9A-Za-z_]{1,40}", re.A)


def read_legacy(data: bytes, use: Use) -> Any:
    """The value in a file of the older format. Raises `WeightsError`, and others if it is damaged."""
    file = io.BytesIO(data)
    start = [Machine(file, use).load() for _ in range(3)]
    if start[:2] != [MAGIC, PROTOCOL]:
        raise WeightsError("it is not a file of torch's older format")
    if not isinstance(start[2], dict) or start[2].get("little_endian") is not True:
        raise WeightsError("it is of a big-endian machine")
    storages: dict[str, Storage] = {}

    def allocate(key: str, dtype: torch.dtype, count: int) -> Storage:
        if key not in storages:
            use.storage(count * dtype.itemsize)
            storages[key] = Storage(torch.zeros(count, dtype=dtype))
        return storages[key]

    value = Machine(file, use, persistent(allocate)).load()
    keys = Machine(file, use).load()
    known = isinstance(keys, list) and all(isinstance(key, str) for key in keys)
    if not known or sorted(keys) != sorted(storages):
        raise WeightsError("its storages are not those that its tensors need")
    for key in keys:
        read_storage(file, storages[key])
    return value


def read_storage(file: io.BytesIO, storage: Storage) -> None:
    """Fill a storage from the position of the file: its length in 8 bytes, and its values."""
    values = storage.values
    count = int.from_bytes(file.read(8), "little")
    raw = file.read(values.numel() * values.element_size())
    if count != values.numel() or len(raw) != values.numel() * values.element_size():
        raise WeightsError("it ends within its tensors: the file is incomplete; download it again")
    if raw:
        values.copy_(from_bytes(raw, values.dtype))


def read_zip(data: bytes, use: Use) -> Any:
    """The value in a file of the zip format. Raises `WeightsError`, and others if it is damaged."""
    if data.count(ENTRY) > MAX_RECORDS:
        raise WeightsError(f"it has more than {MAX_RECORDS:,} files in its zip")
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        check_archive(archive, len(data))
        folder = folder_of(archive.namelist())
        if f"{folder}/byteorder" in archive.namelist() and archive.read(f"{folder}/byteorder") != b"little":
            raise WeightsError("it is of a big-endian machine")
        storages: dict[str, Storage] = {}

        def fetch(key: str, dtype: torch.dtype, count: int) -> Storage:
            if key not in storages:
                use.storage(count * dtype.itemsize)
                raw = archive.read(f"{folder}/data/{key}")
                if len(raw) < count * dtype.itemsize:
                    raise WeightsError(f"its storage {key} is shorter than the tensors need")
                storages[key] = Storage(from_bytes(raw[: count * dtype.itemsize], dtype))
            return storages[key]

        pickle = io.BytesIO(archive.read(f"{folder}/data.pkl"))
        return Machine(pickle, use, persistent(fetch)).load()


def persistent(storage: Callable[[str, torch.dtype, int], Storage]) -> Callable[[Any], Storage | Name]:
    """What rebuilds a storage from its persistent id, ("storage", type, key, device, number of values)."""

    def rebuild(saved: Any) -> Storage | Name:
        saved = saved if isinstance(saved, tuple) else ()
        if saved[:1] == ("module",) and len(saved) == 4 and isinstance(saved[1], Name):
            return saved[1]  # a class; its source text is ignored
        if len(saved) not in (5, 6) or saved[0] != "storage":
            raise WeightsError("it refers to data that is not a storage")
        _, kind, key, _, count, *view = saved
        if not isinstance(kind, Name) or kind.name not in STORAGES or view not in ([], [None]):
            raise WeightsError("it has a storage of a type that is not supported")
        if not isinstance(key, str) or not KEY.fullmatch(key) or type(count) is not int or count < 0:
            raise WeightsError("it has a storage without a valid key and size")
        return storage(key, STORAGES[kind.name], count)

    return rebuild


def check_archive(archive: zipfile.ZipFile, size: int) -> None:
    """Raise `WeightsError` for a path that leads out, compressed records, and sizes above the file's."""
    records = archive.infolist()
    if any(record.filename.endswith("/constants.pkl") for record in records):
        raise WeightsError(
            "it is a TorchScript program: load it with torch.jit.load, and torch.save its state_dict()"
        )
    if not any(record.filename.endswith("/data.pkl") for record in records):
        raise WeightsError(
            "its zip has no data.pkl, so torch.save didn't write it: unpack it, and give the file of weights "
            "inside"
        )
    for record in records:
        parts = record.filename.replace("\\", "/").split("/")
        if ".." in parts or parts[0] == "" or ":" in parts[0]:
            raise WeightsError(f"its zip has a path that leads out of it: {record.filename[:80]!r}")
        if record.compress_type != zipfile.ZIP_STORED or record.file_size != record.compress_size:
            raise WeightsError("its zip is compressed, which torch.save never does: unpack it")
    if sum(record.file_size for record in records) > size:
        raise WeightsError("its zip declares more bytes than the file has")
    if len({record.filename for record in records}) < len(records):
        raise WeightsError("its zip has two files of one name")


def folder_of(names: list[str]) -> str:
    """The folder in the archive that has the pickle."""
    folders = [name.removesuffix("/data.pkl") for name in names if name.endswith("/data.pkl")]
    if len(folders) != 1:
        raise WeightsError("its zip has several data.pkl: unpack it, and give the file of weights inside")
    return folders[0]


def from_bytes(raw: bytes, dtype: torch.dtype) -> torch.Tensor:
    """A row of values with their own memory."""
    return torch.frombuffer(bytearray(raw), dtype=dtype) if raw else torch.zeros(0, dtype=dtype)
