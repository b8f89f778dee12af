"""`HubRows`: a data set of the Hugging Face Hub, read with its library `datasets`.

An address is `hf:USER/NAME`, then optionally `/CONFIG`, `@REVISION` and `:SPLIT`. In place of `USER/NAME` it
may have the path of a folder with such a data set, for example parquet files.

The library downloads a data set once into its own cache, which it maps into memory, so that any row can be
read at any time. That makes the held-out images, and the order of a resumed run, those of any other archive.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Callable, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from gantl_zoo.console import warn
from gantl_zoo.data.archive import Archive, is_junk, walk
from gantl_zoo.data.hub_tables import (
    PATTERN,
    Address,
    commit_of,
    file_of,
    image_column,
    label_column,
    tables_of,
)
from gantl_zoo.data.sums import stamp

SUFFIXES = {b"\xff\xd8\xff": ".jpg", b"GIF": ".gif", b"RIF": ".webp"}  # by the first bytes; others are PNG


class HubRows(Archive):
    """The rows of one or two splits of a data set. Names are `SPLIT/NUMBER.SUFFIX`."""

    pinned = True

    @classmethod
    def accepts(cls, place: str) -> bool:
        return PATTERN.fullmatch(place) is not None

    @classmethod
    def address(cls, place: str) -> str:
        address = Address.of(place)
        if address.local:
            return str(address._replace(place=os.path.abspath(address.place)))
        return str(address._replace(revision=commit_of(address.place, address.revision)))

    @property
    def name(self) -> str:
        return Path(Address.of(str(self.source)).place).name

    @cached_property
    def tables(self) -> dict[str, Any]:
        address = Address.of(str(self.source))
        files = walk(Path(address.place), lambda name: not is_junk(name)) if address.local else ()
        return tables_of(address, tuple((path, stamp(f"{address.place}/{path}")) for path in files))

    def paths(self, junk: bool = False) -> dict[str, str]:
        import pyarrow.compute as compute

        names = []
        for split, table in self.tables.items():
            # in chunks: only the first bytes are read, and a set may be larger than the memory
            content = compute.struct_field(column(table, image_column(table)), "bytes")
            starts = compute.binary_slice(content, 0, 3).to_pylist()
            names += [f"{split}/{i:09}{SUFFIXES.get(start, '.png')}" for i, start in enumerate(starts)]
        whole = len(self.tables) > 1  # then the splits are folders
        return {name: name if whole else name.partition("/")[2] for name in names}

    def read(self, name: str) -> bytes:
        split, _, row = name.partition("/")
        table = self.tables[split]
        cell = table[int(row.partition(".")[0])][image_column(table)]
        if cell["bytes"] is not None:
            return bytes(cell["bytes"])
        return file_of(cell["path"], Address.of(str(self.source))).read_bytes()

    def sums(self, names: Sequence[str]) -> dict[str, tuple[int, int]]:
        return {name: sum_of(self.read, name) for name in names}

    def labels(self) -> tuple[dict[str, str], tuple[str, ...]] | None:
        labels: dict[str, str] = {}
        classes: tuple[str, ...] = ()
        rows: dict[str, list[str]] = {split: [] for split in self.tables}
        for name in self.paths():
            rows[name.partition("/")[0]].append(name)
        for split, table in self.tables.items():
            key = label_column(table)
            if key is None:
                return None
            values = column(table, key).to_pylist()
            if any(value in (None, -1, "") for value in values):
                warn(f"{self.source}: some images of {split} have no label, so labels are not used")
                return None
            feature = table.features[key]
            known = tuple(map(str, getattr(feature, "names", None) or sorted(set(values))))
            classes = tuple(dict.fromkeys([*classes, *known]))
            texts = [known[value] if hasattr(feature, "names") else str(value) for value in values]
            labels |= dict(zip(rows[split], texts, strict=True))
        return labels, classes

    def origin(self) -> str:
        address = str(self.source)
        return "" if Address.of(address).local else self.address(address)


def sum_of(read: Callable[[str], bytes], name: str) -> tuple[int, int]:
    """CRC-32 and size of a file; (0, 0) if it can't be read."""
    try:
        content = read(name)
    except Exception:  # of pyarrow or the system: decoding reports it
        return 0, 0
    return zlib.crc32(content), len(content)


def column(table: Any, name: str) -> Any:
    """A column of a table as an Arrow array in chunks."""
    return table.with_format("arrow")[:][name] if table._indices is not None else table.data.column(name)
