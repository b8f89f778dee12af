"""`Look`: the few hundred bytes that `check_data` keeps about each image."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from gantl_zoo.data import decoding, files
from gantl_zoo.data.decode import Flat, Pixels, flattened, is_deep, is_grey, opened, orientation, stored_grey
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.similar import SIDE

if TYPE_CHECKING:
    from PIL.Image import Image as Picture


@dataclass(frozen=True)
class Look:
    """What an image looks like.

    `size` is width and height when upright; `grey`: stored as grey; `grey_rgb`: RGB with equal channels;
    `transparent`: in any pixel; `turned`: upright by EXIF only; `deep`: 16 bits per channel; `thumb`: a
    thumbnail (3, 16, 16).
    """

    size: tuple[int, int]
    grey: bool
    grey_rgb: bool
    transparent: bool
    turned: bool
    deep: bool
    thumb: Pixels

    @property
    def cut(self) -> float:
        """The share of pixels that a crop to a square loses, and the share of filling with padding."""
        return 1 - min(self.size) / max(self.size)


def look_at(content: bytes) -> Look:
    """The `Look` of an image file. Raises as `decode` does."""
    with opened(content) as image:
        turned, deep = orientation(image) != 1, is_deep(image, content)
        return look_of(flattened(image, stored_grey(image, content)), turned, deep)


def look_of(flat: Flat, turned: bool = False, deep: bool = False) -> Look:
    """The `Look` of a decoded picture."""
    from PIL import Image

    picture, grey = flat.picture, flat.picture.mode == "L"
    small = picture.convert("RGB").resize((SIDE, SIDE), Image.Resampling.BOX)
    thumb: Pixels = np.array(small).transpose(2, 0, 1)
    return Look(picture.size, grey, not grey and is_grey(picture), flat.transparent, turned, deep, thumb)


def looks_of_files(
    source: Path, names: list[str], progress: Callable[[int, int], None]
) -> Iterator[tuple[str, Look | Exception]]:
    """Yield each name with the `Look` of its image, or with the error; few images are in memory at a time."""
    read = files.reader(source)
    one = decoding.bytes_of_one(read, names, None)
    for done, result in enumerate(decoding.each(read, names, look_at, one), 1):
        progress(done, len(names))
        yield result


def looks_of_images(images: ImageData) -> Iterator[tuple[bytes, Look]]:
    """Yield the hash of each image's pixels, and its `Look`."""
    for start in range(0, len(images), 256):
        for one in images.images[start : start + 256].numpy():
            yield sha256(one.tobytes()).digest(), look_of(Flat(picture_of(one), False))


def picture_of(pixels: Pixels) -> Picture:
    """Convert pixels (C, H, W) uint8 to a PIL image."""
    from PIL import Image

    return Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
