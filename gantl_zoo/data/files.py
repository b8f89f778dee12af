"""A folder of images, sub-folders as classes, or a zip of either."""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

import numpy as np
import torch

from gantl_zoo.data.images import ImageData
from gantl_zoo.errors import DataError

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"}
CORRUPT_LIMIT = 0.05  # more than this share of unreadable images, and the set is not what it should be
HELD_OUT = 10  # one image in ten, chosen by the hash of its path, is the test split


def load(source: Path, split: str, image_size: int | None) -> ImageData:
    """The images under `source`, cropped to a centred square of `image_size`.

    Without `image_size` they must all have one size. Grey if every image is grey, else RGB on white.
    Unreadable files are named, counted and left out, up to a limit of 5 %. Raises `DataError`.
    """
    names = sorted(_names(source))
    if not names:
        raise DataError(f"{source} holds no image ({', '.join(sorted(SUFFIXES))})")
    held_out = _held_out(names)
    wanted = [name for name in names if (name in held_out) == (split == "test")]
    if not wanted:
        raise DataError(f"{source} has {len(names)} images; a test split needs at least {HELD_OUT}")
    arrays, kept, corrupt = [], [], []
    for name, content in _contents(source, wanted):
        try:
            arrays.append(_decode(content, image_size))
            kept.append(name)
        except (OSError, ValueError, SyntaxError) as error:  # what Pillow raises for damaged files
            corrupt.append(f"{name} ({error})")
    _judge(source, corrupt, len(wanted))
    images = torch.from_numpy(_stack(source, arrays))
    folders = [PurePosixPath(name).parent.as_posix() for name in kept]
    classes = tuple(sorted(set(folders)))
    labels = torch.tensor([classes.index(folder) for folder in folders]) if len(classes) > 1 else None
    return ImageData(images, labels, classes if labels is not None else (), source.name, split)


def _names(source: Path) -> list[str]:
    if source.is_dir():
        found = [p.relative_to(source).as_posix() for p in source.rglob("*") if p.is_file()]
    else:
        try:
            with zipfile.ZipFile(source) as archive:
                found = [name for name in archive.namelist() if not name.startswith("__MACOSX")]
        except (OSError, zipfile.BadZipFile) as error:
            raise DataError(f"{source} is neither a folder nor a readable zip: {error}") from error
    return [
        n
        for n in found
        if PurePosixPath(n).suffix.lower() in SUFFIXES and not PurePosixPath(n).name.startswith(".")
    ]


def _held_out(names: list[str]) -> set[str]:
    """The tenth of the images with the lowest hashes: nearly the same ones when others come or go."""
    by_hash = sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())
    return set(by_hash[: len(names) // HELD_OUT])


def _contents(source: Path, names: list[str]) -> Iterator[tuple[str, bytes]]:
    if source.is_dir():
        yield from ((name, (source / name).read_bytes()) for name in names)
    else:
        with zipfile.ZipFile(source) as archive:
            yield from ((name, archive.read(name)) for name in names)


def _decode(content: bytes, image_size: int | None) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """(C, H, W) uint8."""
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(content)) as opened:
        image = ImageOps.exif_transpose(opened)
        grey = image.mode in ("1", "L", "LA", "I", "I;16", "F")
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        image = image.convert("L" if grey else "RGB")
        if image_size is not None and image.size != (image_size, image_size):
            image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
        pixels = np.array(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def _judge(source: Path, corrupt: list[str], count: int) -> None:
    if not corrupt:
        return
    shown = ", ".join(corrupt[:3]) + (f" and {len(corrupt) - 3} more" if len(corrupt) > 3 else "")
    text = f"{source}: {len(corrupt)} of {count} images can't be read: {shown}"
    if len(corrupt) > max(1, CORRUPT_LIMIT * count) or len(corrupt) == count:
        raise DataError(f"{text}; more than {CORRUPT_LIMIT:.0%} is too many: mend or remove them")
    print(f"warning: {text}; left out", file=sys.stderr)


def _stack(
    source: Path, arrays: list[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]
) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    channels = max(len(array) for array in arrays)
    arrays = [np.broadcast_to(a, (channels, *a.shape[1:])) if len(a) < channels else a for a in arrays]
    sizes = {array.shape[1:] for array in arrays}
    if len(sizes) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sorted(sizes)[:4])
        raise DataError(f"{source}: images of different sizes ({shown}, …); choose one with --image-size")
    return np.stack(arrays)
