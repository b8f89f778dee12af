"""Images that stay on disk: decoded when they are asked for, ahead of time by worker processes in training.

A `Stream` stands where a uint8 tensor (N, C, H, W) would: it has a length and a shape, and an index, a slice
or a tensor of indices gives the images themselves.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.data.decode import quiet
from gantl_zoo.data.memory import memory_limit
from gantl_zoo.errors import DataError

Decode = Callable[[bytes], Tensor]
Open = Callable[[Path], Callable[[str], bytes]]
AHEAD = 4  # batches that each worker prepares


@dataclass
class Stream:
    """The images `names` of `source`, each (C, H, W) uint8 after `decode`.

    `hashed` are the hashes of the files' content, if they are known already. Without them the digest covers
    the files and their names, as it did when the split went by path.
    """

    source: Path
    names: list[str]
    image_shape: tuple[int, int, int]
    reader: Open
    decode: Decode
    hashed: list[bytes] | None = None
    readers: dict[int, Callable[[str], bytes]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """For worker processes, which open the source themselves."""
        return self.__dict__ | {"readers": {}}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.names), *self.image_shape))

    def numel(self) -> int:
        """Values in memory at any time: none to speak of."""
        return 0

    def read(self, name: str) -> bytes:
        """The file; each process has a reader of its own, since an open zip can't be shared."""
        if os.getpid() not in self.readers:
            self.readers[os.getpid()] = self.reader(self.source)
        return self.readers[os.getpid()](name)

    def one(self, index: int) -> Tensor:
        """(C, H, W) uint8. Raises `DataError` for a file that has gone or changed since it was listed."""
        name = self.names[index]
        try:
            return self.decode(self.read(name))
        except Exception as error:  # of Pillow, zipfile, zlib: whatever damaged files make them raise
            raise DataError(
                f"{self.source}: the image {name} can't be read any more ({error}); put it back, then go on "
                "with --resume"
            ) from error

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        wanted = torch.arange(len(self))[index].tolist()
        with quiet(), ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
            made = list(pool.map(self.one, wanted))
        return torch.stack(made) if made else torch.empty(0, *self.image_shape, dtype=torch.uint8)

    def select(self, index: Tensor) -> Tensor | Stream:
        """The images at `index`, in that order: in memory if they fit, else a stream again."""
        if len(index) * math.prod(self.image_shape) <= memory_limit():
            return self[index]
        chosen = index.tolist()
        hashed = None if self.hashed is None else [self.hashed[i] for i in chosen]
        return replace(self, names=[self.names[i] for i in chosen], hashed=hashed, readers={})

    def changed(self, shape: tuple[int, int, int], convert: Callable[[Tensor], Tensor]) -> Stream:
        """The same, each image turned into one of `shape` by `convert`, which works on (N, C, H, W)."""
        return replace(self, image_shape=shape, decode=Chain(self.decode, convert), readers={})

    def digest(self) -> bytes:
        """SHA-256 over the files in their order, which are read only if their hashes are unknown."""
        if self.hashed is not None:
            return hashlib.sha256(b"".join(self.hashed)).digest()
        found = hashlib.sha256()
        for name in self.names:
            found.update(os.fsencode(name) + b"\0" + hashlib.sha256(self.read(name)).digest())
        return found.digest()

    def batches(self, order: Iterator[Tensor], workers: int) -> Iterator[Tensor]:
        """The images of each index tensor in `order`, prepared ahead by `workers` processes.

        Raises `DataError` as `one` does.
        """
        from torch.utils.data import DataLoader

        loader: Any = DataLoader(
            _Rows(self),  # type: ignore[arg-type]  # length and index are all that a dataset needs
            batch_sampler=(index.tolist() for index in order),
            num_workers=workers,
            prefetch_factor=AHEAD if workers else None,
            collate_fn=together,
        )
        for images in loader:
            if isinstance(images, DataError):
                raise images
            yield images


@dataclass
class Chain:
    """A decoder, then a conversion. A class, since worker processes must be able to pickle it."""

    decode: Decode
    convert: Callable[[Tensor], Tensor]

    def __call__(self, content: bytes) -> Tensor:
        return self.convert(self.decode(content)[None])[0]


@dataclass
class _Rows:
    """A stream as DataLoader wants it: one image an index."""

    stream: Stream

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, index: int) -> Tensor | DataError:
        try:
            with quiet():
                return self.stream.one(index)
        except DataError as error:  # an exception would come out of a worker with its traceback for a text
            return error


def together(rows: list[Tensor | DataError]) -> Tensor | DataError:
    """One batch, or the first thing that went wrong."""
    images = [row for row in rows if isinstance(row, Tensor)]
    wrong = [row for row in rows if isinstance(row, DataError)]
    return wrong[0] if wrong else torch.stack(images)
