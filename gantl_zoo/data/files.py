"""Load an archive of images. Its sub-folders are classes; folders `train` and `test` are splits."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.data.decode import Pixels, decode
from gantl_zoo.data.decoded import Request, Sink, decoded
from gantl_zoo.data.decoding import Decoding, bytes_of_one, decode_all
from gantl_zoo.data.fit import CROP
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.layout import Layout, below_shared, layout, splits_of
from gantl_zoo.data.memory import free_memory, memory_limit
from gantl_zoo.data.names import image_files
from gantl_zoo.data.places import archive_of
from gantl_zoo.data.split import (
    HELD_OUT,
    SMALLEST_CLASS,
    hash_of,
    hashes,
    held_out,
    held_out_by_path,
    held_out_per_class,
    ids_of,
)
from gantl_zoo.data.stream import Stream
from gantl_zoo.data.treatment import Treatment
from gantl_zoo.errors import DataError

BATCH = 64  # images that must fit into the free memory together


def load(
    source: Path, split: str, image_size: int | None, *, fit: str = CROP, split_by: str = "content"
) -> ImageData:
    """Load the images of an archive as squares of `image_size`, cropped or padded as `fit` says.

    Without `image_size` all images must have one size. They become grey if every image is grey, else RGB on
    white. Unreadable files are left out with a warning that names them, up to a limit of 5 %. Images that
    would need more than `memory_limit` are decoded once, and then streamed from the cache on disk, or from
    their files if there is none. `split_by` says how images are held out: by their "content", by their
    "path", or by content within each "class". Raises `DataError`.
    """
    archive = archive_of(source)
    images, tables = image_files(source)
    laid_out = layout(source, images, tables, reader(source))
    listed = laid_out.part(split) if laid_out.splits else list(laid_out.paths)
    hashed = hashes(source, listed)
    names = listed if laid_out.splits else _part(source, laid_out, split, split_by, hashed)
    one = bytes_of_one(reader(source), names, image_size)
    check_memory(source.name, min(len(names), BATCH) * one, image_size)
    request = Request(source, names, [hashed[name] for name in names], image_size, fit, len(names) * one)
    read = _streamed if request.size > memory_limit() else _in_memory
    decoding, pixels = read(request, one)
    if isinstance(pixels, Stream) and split_by != "path":
        pixels.hashed = [hashed[name] for name in decoding.kept]
    labels, classes = _labelled(laid_out, decoding.kept)
    ids = ids_of(hashed[name] for name in decoding.kept)
    treatment = Treatment.of(decoding.sizes, decoding.transparent, fit)
    return ImageData(
        cast(Tensor, pixels), labels, classes, archive.name, split, ids, treatment, archive.origin()
    )


def _in_memory(request: Request, one: int) -> tuple[Decoding, Tensor]:
    """Decode all images into one tensor (N, C, H, W). Raises `DataError`."""
    arrays: list[Pixels] = []
    make = partial(decode, image_size=request.image_size, fit=request.fit)
    decoding = decode_all(reader(request.source), [*request.names], make, one, arrays.append)
    decoding.check(request.source)
    return decoding, torch.from_numpy(_stack(arrays, decoding.shape(request.source)))


def _streamed(request: Request, one: int) -> tuple[Decoding, Stream]:
    """Decode all images at first use, and stream them from the cache or from their files."""
    settings = {"image_size": request.image_size, "fit": request.fit}

    def read_all(sink: Sink) -> Decoding:
        make = partial(decode, **settings, fast=True)  # type: ignore[arg-type]  # one key is an int, one a str
        read = Checked(reader(request.source), dict(zip(request.names, request.hashed, strict=True)))
        decoding = decode_all(read, [*request.names], make, one, sink)
        decoding.unsure = read.error
        return decoding

    decoding, rows = decoded(request, read_all)
    decoding.check(request.source)
    shape = decoding.shape(request.source)
    make = partial(_as_tensor, **settings, channels=shape[0])  # type: ignore[arg-type]
    exact = make if decoding.reduced else None
    fast = partial(make, fast=True)
    return decoding, Stream(request.source, decoding.kept, shape, reader, fast, exact=exact, rows=rows)


class Checked:
    """A reader that remembers the first file whose content is not the one that was hashed.

    Its pixels, or that it can't be read, must not be kept under that hash.
    """

    def __init__(self, read: Callable[[str], bytes], hashed: dict[str, bytes]) -> None:
        self.read, self.hashed = read, hashed
        self.error: OSError | None = None

    def __call__(self, name: str) -> bytes:
        unreadable = self.hashed[name] == hash_of(0, 0)
        try:
            content = self.read(name)
        except OSError as error:
            if not unreadable:
                self.error = error
            raise
        if hash_of(zlib.crc32(content), len(content)) != self.hashed[name]:
            self.error = OSError(f"{name} changed while it was read")
        return content


def _labelled(laid_out: Layout, names: Sequence[str]) -> tuple[Tensor | None, tuple[str, ...]]:
    """Labels (N,) of the images and names of the classes; None and () for fewer than two classes."""
    numbers = {name: number for number, name in enumerate(laid_out.classes)}  # of both splits, so they agree
    if len(numbers) < 2:
        return None, ()
    return torch.tensor([numbers[laid_out.labels[name]] for name in names]), laid_out.classes


def estimate(source: Path, split: str, image_size: int | None, channels: int | None) -> int | None:
    """Approximate bytes of the decoded images, from the file list and one header; None if unknown."""
    images, _ = image_files(source, warned=False)
    _, paths = below_shared(images)
    if splits := splits_of(source, paths):
        count = len(Layout(paths, splits, {}, ()).part(split))
    else:
        count = len(images) // HELD_OUT
        count = count if split == "test" else len(images) - count
    return count * bytes_of_one(reader(source), list(images), image_size) * (channels or 3) // 3 or None


def check_memory(name: str, needed: int, image_size: int | None) -> None:
    """Raise `DataError` if images of `needed` bytes do not fit into the free memory."""
    if needed > (free := free_memory()):
        size = f"images of {image_size}×{image_size} pixels" if image_size else "images of this size"
        raise DataError(
            f"{name}: {size} need {needed / 1e9:,.1f} GB of memory, but {free / 1e9:,.1f} GB are free; "
            "choose a smaller --image-size"
        )


def reader(source: Path) -> Callable[[str], bytes]:
    """A function from a file's name in the archive to its content."""
    return archive_of(source).read


def _part(source: Path, laid_out: Layout, split: str, split_by: str, hashed: dict[str, bytes]) -> list[str]:
    """The names in a split, in the order of their paths. Raises `DataError` if there are none."""
    paths, least = laid_out.paths, f"at least {HELD_OUT}"
    if split_by == "path":
        held = held_out_by_path(list(paths))
    elif split_by == "class" and laid_out.labels:
        least = f"a class of at least {SMALLEST_CLASS}"
        held = held_out_per_class(laid_out.labels, paths, hashed)
    else:
        held = held_out(paths, hashed)
    names = [name for name in paths if (name in held) == (split == "test")]
    if not names:
        raise DataError(f"{source} has {len(paths)} images; a test split needs {least}")
    return names


def _as_tensor(content: bytes, image_size: int | None, fit: str, channels: int, fast: bool = False) -> Tensor:
    pixels = decode(content, image_size, fit, fast=fast).pixels
    return torch.from_numpy(np.array(np.broadcast_to(pixels, (channels, *pixels.shape[1:]))))


def _stack(arrays: list[Pixels], shape: tuple[int, int, int]) -> Pixels:
    """Stack the images (N, C, H, W); grey images among RGB ones become RGB with equal channels."""
    return np.stack([np.broadcast_to(array, shape) for array in arrays])
