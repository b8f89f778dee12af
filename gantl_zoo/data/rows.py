"""`Rows`: decoded images in one file on disk, which all processes of a machine share.

The file has the pixels of each image (C, H, W) uint8, C being 1 or 3, then a table (an npz with `facts`,
JSON), then the length of the table and a mark. A file without the mark at its end is not valid.

Images are read, not mapped into memory: a mapped file that is truncated ends the process with a bus error,
and its pages count as memory of the process. The system keeps what was read in its own cache of the disk.
"""

from __future__ import annotations

import io
import json
import os
import struct
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.data.decode import Pixels

MARK = b"gantl-zoo rows 1"
END = struct.Struct("<Q16s")

Numbers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


class DamagedRows(OSError):
    """The file is truncated, or not a file of rows."""


@dataclass(frozen=True, eq=False)
class Rows:
    """Images of one `shape` (C, H, W) in the file at `path`: where each begins, and its length in bytes."""

    path: Path
    starts: Numbers
    lengths: Numbers
    shape: tuple[int, int, int]

    def read(self, index: Sequence[int]) -> Tensor:
        """The images at `index`, (N, C, H, W) uint8; grey ones become RGB if the shape has three channels.

        Raises `OSError` if the file has gone or is truncated.
        """
        images = torch.empty(len(index), *self.shape, dtype=torch.uint8)
        with open(self.path, "rb", buffering=0) as file:
            for image, i in zip(images.numpy(), index, strict=True):
                file.seek(int(self.starts[i]))
                if self.lengths[i] == image.nbytes:
                    fill(file, image)
                else:
                    fill(file, image[0])
                    image[1:] = image[0]
        return images

    def select(self, index: Sequence[int]) -> Rows:
        """The rows at `index`, in that order."""
        return replace(self, starts=self.starts[index], lengths=self.lengths[index])


def fill(file: Any, image: Pixels) -> None:
    """Fill an array with the next bytes of a file. Raises `DamagedRows` if there are too few."""
    view = image.reshape(-1)
    while len(view):
        count = file.readinto(view)
        if not count:
            raise DamagedRows(f"{file.name} is truncated")
        view = view[count:]


class Writer:
    """Writes images to a file, then the table. Needs the space of the images, and little memory."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.lengths = file, list[int]()

    def add(self, pixels: Pixels) -> None:
        """Append an image (C, H, W)."""
        self.file.write(np.ascontiguousarray(pixels).data)
        self.lengths.append(pixels.nbytes)

    def finish(self, facts: dict[str, Any], arrays: dict[str, Any]) -> None:
        """Write the table with `facts`, JSON values, and `arrays`."""
        table = io.BytesIO()
        np.savez(table, facts=np.array(json.dumps(facts)), lengths=np.array(self.lengths, np.int64), **arrays)
        self.file.write(table.getbuffer())
        self.file.write(END.pack(table.tell(), MARK))
        self.file.flush()
        os.fsync(self.file.fileno())


def table_of(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The facts and the arrays of a file of rows. Raises `OSError` if it is missing, `DamagedRows`."""
    with open(path, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - END.size))
        end = file.read()
        length, mark = END.unpack(end) if len(end) == END.size else (0, b"")
        if mark != MARK or length + END.size > size:
            raise DamagedRows(f"{path} is truncated, or not a file of decoded images")
        file.seek(size - END.size - length)
        table = io.BytesIO(file.read(length))
    try:
        with np.load(table, allow_pickle=False) as held:
            arrays = dict(held)
        facts = json.loads(str(arrays.pop("facts")))
        if int(arrays["lengths"].sum()) != size - END.size - length:
            raise ValueError("lengths")
    except Exception as error:  # numpy and zipfile raise anything for damaged files
        raise DamagedRows(f"{path} is damaged ({error})") from error
    return facts, arrays
