"""A folder of images, sub-folders as classes, or a zip of either. Folders `train` and `test` are splits."""

from __future__ import annotations

import hashlib
import io
import os
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.data.images import ImageData
from gantl_zoo.data.stream import Stream, memory_limit
from gantl_zoo.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
CHUNK = 256  # images that are decoded ahead
CORRUPT_LIMIT = 0.05  # more than this share of unreadable images, and the set is not what it should be
HELD_OUT = 10  # one image in ten, chosen by the hash of its path, is the test split
# unless all images lie in `train` and in some of these, of which the first there is holds the test split
TESTS = ("test", "val", "valid", "validation")


def load(source: Path, split: str, image_size: int | None) -> ImageData:
    """The images under `source`, cropped to a centred square of `image_size`.

    Without `image_size` they must all have one size. Grey if every image is grey, else RGB on white.
    Unreadable files are named, counted and left out, up to a limit of 5 %. A set that would need more than
    `memory_limit` is decoded once to check it, and streamed then. Raises `DataError`.
    """
    names = sorted(_names(source))
    if not names:
        raise DataError(f"{source} holds no image ({', '.join(sorted(SUFFIXES))})")
    inner = _without_common_folder(names)
    split_up, wanted = _part(source, inner, split)
    if not wanted:
        raise DataError(f"{source} has {len(names)} images; a test split needs at least {HELD_OUT}")
    read = reader(source)
    streams = len(wanted) * _bytes_of_one(read, wanted, image_size) > memory_limit()
    arrays: list[Pixels] = []
    kept, shapes, corrupt = [], set(), []
    for name, made in _all(read, wanted, image_size):
        if isinstance(made, Exception):
            corrupt.append(f"{name} ({made})")
            continue
        kept.append(name)
        shapes.add(made.shape)
        if not streams:
            arrays.append(made)
    _judge(source, corrupt, len(wanted))
    shape = _common_shape(source, shapes)
    images = _stream(source, kept, shape, image_size) if streams else torch.from_numpy(_stack(arrays, shape))
    folders = {name: _folder(inner[name], split_up) for name in names}  # of both splits, for equal numbers
    classes = tuple(sorted(set(folders.values())))
    labels = torch.tensor([classes.index(folders[name]) for name in kept]) if len(classes) > 1 else None
    return ImageData(images, labels, classes if labels is not None else (), source.name, split)


def _part(source: Path, inner: dict[str, str], split: str) -> tuple[bool, list[str]]:
    """Whether folders are the splits, and the names of the one that is wanted. Raises `DataError`."""
    tops = {name: PurePosixPath(below).parts[0].lower() for name, below in inner.items()}
    kinds = set(tops.values())
    if "train" not in kinds or kinds.isdisjoint(TESTS):
        held_out = _held_out(list(inner))
        return False, [name for name in inner if (name in held_out) == (split == "test")]
    if beside := sorted(kinds - {"train", *TESTS}):
        raise DataError(
            f"{source} has a folder train and one to test, and beside them {', '.join(beside[:4])}: keep "
            "images in these two only, or name them otherwise"
        )
    kind = next(kind for kind in TESTS if kind in kinds) if split == "test" else "train"
    return True, [name for name in inner if tops[name] == kind]


def _without_common_folder(names: list[str]) -> dict[str, str]:
    """Each name below the folders that all of them share, such as the one that a zip was made of."""
    parts = [PurePosixPath(name).parent.parts for name in names]
    shared = 0
    while all(len(part) > shared and part[shared] == parts[0][shared] for part in parts):
        shared += 1
    if "train" in (part.lower() for part in parts[0][:shared]):  # a split alone
        shared = 0
    return {name: PurePosixPath(*PurePosixPath(name).parts[shared:]).as_posix() for name in names}


def _folder(name: str, split_up: bool) -> str:
    """The sub-folder of an image, below its split's, which is its class."""
    folder = PurePosixPath(name).parent
    return PurePosixPath(*folder.parts[1:]).as_posix() if split_up else folder.as_posix()


def _names(source: Path) -> list[str]:
    if source.is_dir():
        found = [path.relative_to(source).as_posix() for path in _files(source)]
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                found = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{source} is neither a folder nor a readable zip: {error}") from error
    return [
        n
        for n in found
        if PurePosixPath(n).suffix.lower() in SUFFIXES
        and not any(part.startswith(".") for part in PurePosixPath(n).parts)
    ]


def _files(source: Path) -> Iterator[Path]:
    """All files below a folder, also behind links to folders, each of which is entered once."""
    entered = set()
    for place, folders, files in os.walk(source, followlinks=True):
        if (real := os.path.realpath(place)) in entered:
            folders.clear()
            continue
        entered.add(real)
        here = Path(place)
        folders.sort(key=lambda name: ((here / name).is_symlink(), name))
        yield from (path for name in files if (path := here / name).is_file())


def _held_out(names: list[str]) -> set[str]:
    """The tenth of the images with the lowest hashes: nearly the same ones when others come or go."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(os.fsencode(name)).hexdigest())
    return set(by_hash[: len(names) // HELD_OUT])


def reader(source: Path) -> Callable[[str], bytes]:
    """What gives the content of a name in the folder or zip."""
    return zipfile.ZipFile(source).read if source.is_file() else lambda name: (source / name).read_bytes()


def _bytes_of_one(read: Callable[[str], bytes], names: list[str], image_size: int | None) -> int:
    """What an RGB image needs in memory; without `image_size` as the first readable one has it."""
    if image_size is not None:
        return 3 * image_size**2
    return next(
        (3 * made[0].size for _, made in _all(read, names, None) if not isinstance(made, Exception)), 0
    )


def _all(
    read: Callable[[str], bytes], names: list[str], image_size: int | None
) -> Iterator[tuple[str, Pixels | Exception]]:
    """Each name with its image, or with what is wrong with it; a few are decoded ahead, in threads."""

    def one(name: str) -> Pixels | Exception:
        try:
            return decode(read(name), image_size)
        except Exception as error:  # of Pillow, zipfile, zlib: whatever damaged files make them raise
            return error

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(names), CHUNK):
            chunk = names[start : start + CHUNK]
            yield from zip(chunk, pool.map(one, chunk), strict=True)


def _stream(source: Path, names: list[str], shape: tuple[int, int, int], image_size: int | None) -> Tensor:
    """The images, left where they are: a stand-in for the tensor that would be too large."""
    made = partial(_as_tensor, image_size=image_size, channels=shape[0])
    return cast(Tensor, Stream(source, names, shape, reader, made))


def _as_tensor(content: bytes, image_size: int | None, channels: int) -> Tensor:
    pixels = decode(content, image_size)
    return torch.from_numpy(np.array(np.broadcast_to(pixels, (channels, *pixels.shape[1:]))))


def decode(content: bytes, image_size: int | None) -> Pixels:
    """(C, H, W) uint8. Raises what Pillow raises, `ValueError` for what is no image at all."""
    from PIL import Image, ImageOps, UnidentifiedImageError

    try:
        found = Image.open(io.BytesIO(content))
    except UnidentifiedImageError:
        raise ValueError("no image format that is known") from None
    with found as opened:
        image = ImageOps.exif_transpose(opened)
        grey = image.mode in ("1", "L", "LA", "I", "F") or image.mode.startswith("I;16")
        image = eight_bits(image, opened.format)
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
        if image_size is not None and image.size != (image_size, image_size):
            image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
        pixels = np.array(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def eight_bits(image: Any, kind: str | None) -> Any:
    """An image of one channel with more than 8 bits, by its upper 8; Pillow would cut them off at white."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind == "PNG"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel, of which nobody knows what is white: save it with 8 or 16")
    return image


def _judge(source: Path, corrupt: list[str], count: int) -> None:
    if not corrupt:
        return
    shown = ", ".join(corrupt[:3]) + (f" and {len(corrupt) - 3} more" if len(corrupt) > 3 else "")
    text = f"{source}: {len(corrupt)} of {count} images can't be read: {shown}"
    if len(corrupt) > max(1, CORRUPT_LIMIT * count) or len(corrupt) == count:
        raise DataError(f"{text}; more than {CORRUPT_LIMIT:.0%} is too many: mend or remove them")
    print(f"warning: {text}; left out", file=sys.stderr)


def _common_shape(source: Path, shapes: set[tuple[int, ...]]) -> tuple[int, int, int]:
    sizes = {shape[1:] for shape in shapes}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sorted(sizes)[:4])
        raise DataError(f"{source}: images of different sizes ({shown}, …); choose one with --image-size")
    ((height, width),) = sizes
    return max(shape[0] for shape in shapes), height, width


def _stack(arrays: list[Pixels], shape: tuple[int, int, int]) -> Pixels:
    """One array; grey images among RGB ones become grey RGB."""
    return np.stack([np.broadcast_to(array, shape) for array in arrays])
