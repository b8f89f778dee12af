"""`Stream`: images that stay on disk and are read when needed.

It replaces a uint8 tensor (N, C, H, W): it has a length and a shape, and indexing it with a slice or an index
tensor returns the images. They come from the cache of decoded images (`Rows`). Without it, or if it was
removed, the files are decoded; in training, worker processes do so ahead.
"""

from __future__ import annotations

import hashlib
import math
import os
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import chain, repeat
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.console import warn
from gantl_zoo.data.decode import decoder, quiet
from gantl_zoo.data.memory import memory_limit
from gantl_zoo.data.rows import Rows
from gantl_zoo.errors import DataError

Decode = Callable[[bytes], Tensor]
Open = Callable[[Path], Callable[[str], bytes]]
AHEAD = 4  # batches that each worker prepares ahead


@dataclass
class Stream:
    """The images `names` of `source`, each (C, H, W) uint8 after `decode` and all of `converts`.

    `hashed` are the hashes of the files' content, if known. Without them the digest covers the files and
    their names, as it did when images were split by path. `rows` are the decoded images on disk. `exact`
    decodes as for images in memory, if `decode` may reduce the scale. Each of `converts` takes a batch
    (N, C, H, W).
    """

    source: Path
    names: list[str]
    image_shape: tuple[int, int, int]
    reader: Open
    decode: Decode
    hashed: list[bytes] | None = None
    converts: tuple[Callable[[Tensor], Tensor], ...] = ()
    exact: Decode | None = None
    rows: Rows | None = field(default=None, repr=False)
    readers: dict[int, Callable[[str], bytes]] = field(default_factory=dict, repr=False)

    def __getstate__(self) -> dict[str, Any]:
        """The state for worker processes, which open the source themselves."""
        return self.__dict__ | {"readers": {}}

    def __len__(self) -> int:
        return len(self.names)

    @property
    def shape(self) -> torch.Size:
        return torch.Size((len(self.names), *self.image_shape))

    def numel(self) -> int:
        """The number of values that stay in memory: none."""
        return 0

    def read(self, name: str) -> bytes:
        """The content of a file. Each process has its own reader, since an open zip can't be shared."""
        if os.getpid() not in self.readers:
            self.readers[os.getpid()] = self.reader(self.source)
        return self.readers[os.getpid()](name)

    def one(self, index: int) -> Tensor:
        """Decode one image (C, H, W) uint8. Raises `DataError` if its file has gone or changed since."""
        name = self.names[index]
        try:
            return self.converted(self.decode(self.read(name))[None])[0]
        except Exception as error:  # damaged files make Pillow, zipfile and zlib raise anything
            raise DataError(
                f"{self.source}: the image {name} can't be read any more ({error}); put it back, "
                "then continue with --resume"
            ) from error

    def converted(self, images: Tensor) -> Tensor:
        """Images (N, C, H, W) after all of `converts`."""
        for convert in self.converts:
            images = convert(images)
        return images

    def lost(self, error: OSError) -> None:
        """Give up the decoded images, which have gone or are damaged; the files are decoded instead."""
        if self.rows is not None:
            warn(f"{self.source}: the decoded images can't be read ({error}); the files are decoded again")
        self.rows = None

    def __getitem__(self, index: slice | Tensor) -> Tensor:
        indices = torch.arange(len(self))[index].tolist()
        try:
            if self.rows is not None and indices:
                return self.converted(self.rows.read(indices))
        except OSError as error:
            self.lost(error)
        with quiet(), ThreadPoolExecutor() as pool:  # Pillow decodes outside Python's lock
            images = list(pool.map(self.one, indices))
        return torch.stack(images) if images else torch.empty(0, *self.image_shape, dtype=torch.uint8)

    def select(self, index: Tensor) -> Tensor | Stream:
        """The images at `index`, in that order: a tensor if they fit into memory, else a stream.

        The tensor is the one that the images would be if all had been read into memory.
        """
        if len(index) * math.prod(self.image_shape) <= memory_limit():
            return self[index] if self.exact is None else replace(self, decode=self.exact, rows=None)[index]
        chosen = index.tolist()
        hashed = None if self.hashed is None else [self.hashed[i] for i in chosen]
        rows = None if self.rows is None else self.rows.select(chosen)
        return replace(self, names=[self.names[i] for i in chosen], hashed=hashed, rows=rows, readers={})

    def changed(self, shape: tuple[int, int, int], convert: Callable[[Tensor], Tensor]) -> Stream:
        """The same images, each converted to `shape` by `convert`, which takes a batch (N, C, H, W)."""
        return replace(self, image_shape=shape, converts=(*self.converts, convert), readers={})

    @property
    def treatment(self) -> str:
        """How files become pixels. Streams of equal files with the same treatment have equal images."""
        steps: list[Any] = [self.decode, *self.converts]
        words = [(getattr(step, "func", step).__name__, getattr(step, "keywords", {})) for step in steps]
        return repr((decoder(), words))

    def digest(self) -> bytes:
        """SHA-256 of the files in order. Files are read only if their hashes are unknown."""
        if self.hashed is not None:
            return hashlib.sha256(b"".join(self.hashed)).digest()
        digest = hashlib.sha256()
        for name in self.names:
            digest.update(os.fsencode(name) + b"\0" + hashlib.sha256(self.read(name)).digest())
        return digest.digest()

    def batches(self, order: Iterator[Tensor], workers: int) -> Iterator[Tensor]:
        """Yield the images of each index tensor in `order`, read ahead.

        Without decoded images on disk, `workers` processes decode the files. Raises `DataError` as `one`.
        """
        taken: deque[Tensor] = deque()  # whose images are not yet yielded
        if (rows := self.rows) is not None:
            try:
                for images in ahead(lambda index: rows.read(index.tolist()), order, taken):
                    yield self.converted(images)
                return
            except OSError as error:
                self.lost(error)
        yield from self.decoded(chain(taken, order), workers)

    def decoded(self, order: Iterator[Tensor], workers: int) -> Iterator[Tensor]:
        """Yield the images of each index tensor in `order`, which `workers` processes decode ahead."""
        from torch.utils.data import DataLoader

        loader: Any = DataLoader(
            _Images(self),  # type: ignore[arg-type]  # length and index are all that a dataset needs
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
class _Images:
    """A stream as a data set for `DataLoader`: one image per index."""

    stream: Stream

    def __len__(self) -> int:
        return len(self.stream)

    def __getitem__(self, index: int) -> Tensor | DataError:
        try:
            with quiet():
                return self.stream.one(index)
        except DataError as error:  # raised in a worker, its message would become a whole traceback
            return error


def together(rows: list[Tensor | DataError]) -> Tensor | DataError:
    """Stack images to a batch, or return the first error."""
    images = [row for row in rows if isinstance(row, Tensor)]
    wrong = [row for row in rows if isinstance(row, DataError)]
    return wrong[0] if wrong else torch.stack(images)


def ahead(
    read: Callable[[Tensor], Tensor], order: Iterator[Tensor], taken: deque[Tensor]
) -> Iterator[Tensor]:
    """Yield `read(index)` for each index tensor. A thread reads ahead; `taken` are those not yet yielded."""
    with ThreadPoolExecutor(1) as pool:
        results = deque[Future[Tensor]]()
        for index in chain(order, repeat(None)):
            if index is not None:
                taken.append(index)
                results.append(pool.submit(read, index))
                if len(results) <= AHEAD:
                    continue
            if not results:
                return
            images = results.popleft().result()
            taken.popleft()
            yield images
