"""Load a folder or a zip of images. Its sub-folders are classes; folders `train` and `test` are splits."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TypeVar, cast

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.console import warn
from gantl_zoo.data.decode import Decoded, Pixels, decode, quiet, size_of
from gantl_zoo.data.fit import CROP
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.layout import Layout, below_shared, layout, splits_of
from gantl_zoo.data.memory import free_memory, memory_limit
from gantl_zoo.data.names import image_files
from gantl_zoo.data.split import (
    HELD_OUT,
    SMALLEST_CLASS,
    hashes,
    held_out,
    held_out_by_path,
    held_out_per_class,
    ids_of,
)
from gantl_zoo.data.stream import Stream
from gantl_zoo.data.treatment import Treatment
from gantl_zoo.errors import DataError

Result = TypeVar("Result")
CHUNK = 256  # images that are decoded ahead, at most
CORRUPT_LIMIT = 0.05  # a larger share of unreadable images is an error
BATCH = 64  # images that must fit into the free memory together
DARK = 64  # 16-bit images whose upper bytes are all below this probably hold fewer bits


@dataclass
class Decoding:
    """The result of decoding all files. `arrays` stays empty if images are streamed."""

    kept: list[str] = field(default_factory=list)
    arrays: list[Pixels] = field(default_factory=list)
    shapes: set[tuple[int, ...]] = field(default_factory=set)
    sizes: list[tuple[int, int]] = field(default_factory=list)
    transparent: list[bool] = field(default_factory=list)
    corrupt: list[str] = field(default_factory=list)
    deep: bool = True  # whether every image has 16 bits a channel
    brightest: int = 0


def load(
    source: Path, split: str, image_size: int | None, *, fit: str = CROP, split_by: str = "content"
) -> ImageData:
    """Load the images under `source` as squares of `image_size`, cropped or padded as `fit` says.

    Without `image_size` all images must have one size. They become grey if every image is grey, else RGB on
    white. Unreadable files are left out with a warning that names them, up to a limit of 5 %. Images that
    would need more than `memory_limit` are decoded once as a check, and then streamed. `split_by` says how
    images are held out: by their "content", by their "path", or by content within each "class". Raises
    `DataError`.
    """
    images, tables = image_files(source)
    read = reader(source)
    laid_out = layout(source, images, tables, read)
    listed = laid_out.part(split) if laid_out.splits else list(laid_out.paths)
    hashed = hashes(source, listed)
    by_path = split_by == "path"
    names = listed if laid_out.splits else _part(source, laid_out, split, split_by, hashed)
    one = bytes_of_one(read, names, image_size)
    check_memory(source.name, min(len(names), BATCH) * one, image_size)
    streams = len(names) * one > memory_limit()
    decoding = _decode_all(
        read, names, partial(decode, image_size=image_size, fit=fit), one, keep=not streams
    )
    _check_decoded(source, decoding, len(names))
    shape = _common_shape(source, decoding.shapes)
    pixels = (
        _stream(
            source,
            decoding.kept,
            shape,
            partial(_as_tensor, image_size=image_size, fit=fit),
            None if by_path else hashed,
        )
        if streams
        else torch.from_numpy(_stack(decoding.arrays, shape))
    )
    labels, classes = _labelled(laid_out, decoding.kept)
    ids = ids_of(hashed[name] for name in decoding.kept)
    treatment = Treatment.of(decoding.sizes, decoding.transparent, fit)
    return ImageData(pixels, labels, classes, _name(source), split, ids, treatment)


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
    """A function from a file's name in the folder or zip to its content."""
    return zipfile.ZipFile(source).read if source.is_file() else lambda name: (source / name).read_bytes()


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


def _name(source: Path) -> str:
    """The name of the folder or zip, also for a folder such as "." or ".."."""
    return Path(source).absolute().name if source.name not in ("", "..") else source.resolve().name


def bytes_of_one(read: Callable[[str], bytes], names: list[str], image_size: int | None) -> int:
    """Bytes of an RGB image of `image_size`, or else of the first readable image's size."""
    if image_size is not None:
        return 3 * image_size**2
    for name in names:
        try:
            with quiet():
                width, height = size_of(read(name))
        except Exception:  # of Pillow, zipfile or zlib: decoding reports it
            continue
        return 3 * width * height
    return 0


def _decode_all(
    read: Callable[[str], bytes], names: list[str], make: Callable[[bytes], Decoded], one: int, *, keep: bool
) -> Decoding:
    """Decode all images. `one` is the approximate size of an image in bytes; `keep` keeps the pixels."""
    decoding = Decoding()
    for name, decoded in each(read, names, make, one):
        if isinstance(decoded, Exception):
            decoding.corrupt.append(f"{name} ({decoded})")
            continue
        pixels, deep, size, transparent = decoded
        decoding.kept.append(name)
        decoding.sizes.append(size)
        decoding.transparent.append(transparent)
        decoding.shapes.add(pixels.shape)
        decoding.deep = decoding.deep and deep
        if decoding.deep:
            decoding.brightest = max(decoding.brightest, int(pixels.max()))
        if keep:
            decoding.arrays.append(pixels)
    return decoding


def each(
    read: Callable[[str], bytes], names: list[str], make: Callable[[bytes], Result], one: int
) -> Iterator[tuple[str, Result | Exception]]:
    """Yield each name with `make` of its content, or with the error. Threads read some files ahead."""

    def attempt(name: str) -> Result | Exception:
        try:
            return make(read(name))
        except Exception as error:  # damaged files make Pillow, zipfile and zlib raise anything
            return error

    step = min(CHUNK, max(8, memory_limit() // max(1, one)))
    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), step):
            chunk = names[start : start + step]
            with quiet():
                results = list(pool.map(attempt, chunk))
            yield from zip(chunk, results, strict=True)


def _stream(
    source: Path,
    names: list[str],
    shape: tuple[int, int, int],
    make: Callable[..., Tensor],
    hashed: dict[str, bytes] | None,
) -> Tensor:
    """A `Stream` in place of a tensor that would be too large."""
    make = partial(make, channels=shape[0])
    hash_list = None if hashed is None else [hashed[name] for name in names]
    return cast(Tensor, Stream(source, names, shape, reader, make, hash_list))


def _as_tensor(content: bytes, image_size: int | None, fit: str, channels: int) -> Tensor:
    pixels = decode(content, image_size, fit).pixels
    return torch.from_numpy(np.array(np.broadcast_to(pixels, (channels, *pixels.shape[1:]))))


def _check_decoded(source: Path, decoding: Decoding, count: int) -> None:
    """Warn about unreadable and nearly black images. Raises `DataError` for too many unreadable ones."""
    if corrupt := decoding.corrupt:
        shown = ", ".join(corrupt[:3]) + (f" and {len(corrupt) - 3} more" if len(corrupt) > 3 else "")
        text = f"{source}: {len(corrupt)} of {count} images can't be read: {shown}"
        if len(corrupt) > max(1, CORRUPT_LIMIT * count) or len(corrupt) == count:
            raise DataError(f"{text}; more than {CORRUPT_LIMIT:.0%} is too many: repair or remove them")
        warn(f"{text}; left out")
    if decoding.deep and decoding.brightest < DARK:
        warn(
            f"{source}: no image uses more than {decoding.brightest / 255:.0%} of the 16-bit range, so all "
            "look nearly black; scale their values up"
        )


def _common_shape(source: Path, shapes: set[tuple[int, ...]]) -> tuple[int, int, int]:
    sizes = sorted({shape[1:] for shape in shapes})
    if len(sizes) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sizes[:4]) + ", …" * (len(sizes) > 4)
        raise DataError(f"{source}: images of different sizes ({shown}); choose one with --image-size")
    ((height, width),) = sizes
    return max(shape[0] for shape in shapes), height, width


def _stack(arrays: list[Pixels], shape: tuple[int, int, int]) -> Pixels:
    """Stack the images (N, C, H, W); grey images among RGB ones become RGB with equal channels."""
    return np.stack([np.broadcast_to(array, shape) for array in arrays])
