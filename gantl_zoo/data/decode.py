"""Files become pixels. What each kind of file becomes:

| file | pixels |
|---|---|
| 1 bit or 8 bits, grey; a palette of greys | 1 channel |
| 16 bits, grey (PNG, TIFF, PGM), with or without alpha | 1 channel, the upper 8 bits |
| RGB, CMYK, a palette of colours; 16 bits each, too | 3 channels of 8 bits |
| 32 bits a channel, whole numbers or floats | refused: its white is not defined |
| transparent pixels | white, as far as they are transparent |
| alpha of 0 everywhere in BMP, TGA, TIFF, … | not an alpha; in PNG, WebP, GIF, AVIF: white |
| an orientation in EXIF | turned upright; a damaged EXIF block is left out |
| an ICC profile, gamma | not applied: values are taken as sRGB |
| several frames or pages | the first one |

A set is grey if all of its images are; otherwise grey images become RGB. If no 16-bit image of a set uses
more than a quarter of the range (12 bits that are stored in 16 use 6 %), a warning says so.
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gantl_zoo.data.damage import kind_of, without_metadata

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
GREY = ("1", "L", "LA", "La", "I", "F")
ORIENTATION, BITS = 0x0112, 0x0102  # tags of EXIF and TIFF
TRANSPOSED = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE",
              "ROTATE_90")  # fmt: skip  # for orientations 2 to 8
BLANK = ("PNG", "WEBP", "GIF", "AVIF")  # formats in which alpha is set on purpose

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its messages appear on standard error


@contextmanager
def quiet() -> Iterator[None]:
    """Pillow's warnings are neither printed nor raised, whatever the filters are. Not for use in threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


class Decoded(NamedTuple):
    """An image's pixels, (C, H, W) uint8, and whether its file has 16 bits a channel."""

    pixels: Pixels
    deep: bool


def decode(content: bytes, image_size: int | None) -> Decoded:
    """The image in a file. Raises what Pillow raises, `ValueError` for a file that is not an image."""
    with opened(content) as image:
        deep = is_deep(image, content)
        grey = content[25:26] in (b"\0", b"\4") if image.format == "PNG" else None
        return Decoded(pixels_of(image, image_size, grey), deep)


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height by a file's header, without decoding it. Raises as `decode` does."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    return width, height


def is_deep(image: Picture, content: bytes) -> bool:
    """Whether a file has 16 bits a channel, which Pillow's mode says for grey images only."""
    if image.format == "PNG":
        return content[24:25] == b"\x10"
    bits = getattr(image, "tag_v2", {}).get(BITS, ())  # of TIFF
    return image.mode.startswith("I;16") or (isinstance(bits, tuple) and max(bits, default=8) > 8)


def opened(content: bytes) -> Picture:
    """The image, decoded; where its metadata are damaged, without them."""
    from PIL import UnidentifiedImageError

    try:
        return _loaded(content)
    except Exception as error:  # of Pillow, whatever damaged files make it raise
        bare = without_metadata(content)
        if bare is not None and bare != content:
            try:
                return _loaded(bare)
            except Exception:
                raise error from None
        if isinstance(error, UnidentifiedImageError):
            raise ValueError(kind_of(content) or "no image format that is known") from None
        raise


def _loaded(content: bytes) -> Picture:
    from PIL import Image

    image = Image.open(io.BytesIO(content))
    try:
        image.load()
    except Exception:
        if image.tile:  # the pixels are not all there; otherwise, what follows them is damaged
            raise
    return image


def pixels_of(image: Picture, image_size: int | None, grey: bool | None = None) -> Pixels:
    """(C, H, W) uint8 of an image, upright, over white, cropped to a square and resized to `image_size`.

    `grey` tells what the file stores where Pillow's mode doesn't, as for PNG of 16-bit grey with alpha.
    """
    from PIL import Image, ImageOps

    kind = image.format
    grey = bool(grey) or image.mode in GREY or image.mode.startswith("I;16")
    palette = image.mode in ("P", "PA")
    image = _upright(image)
    image = eight_bits(image, kind)
    if image.has_transparency_data:
        image = _over_white(image, kind)
    image = image.convert("L" if grey else "RGB")
    if palette and not grey and _is_grey(image):
        image, grey = image.getchannel(0), True
    if image_size is not None and image.size != (image_size, image_size):
        image = ImageOps.fit(image, (image_size, image_size), Image.Resampling.LANCZOS)
    pixels: Pixels = np.array(image)
    return pixels[None] if grey else pixels.transpose(2, 0, 1)


def eight_bits(image: Any, kind: str | None) -> Any:
    """An image of one channel with more than 8 bits, by its upper 8; Pillow would cut them off at white."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        values = np.asarray(image)
        upper = (values >> 8).astype(np.uint8)
        clear = image.info.get("transparency")
        return Image.fromarray(
            np.where(values == clear, np.uint8(255), upper) if isinstance(clear, int) else upper
        )
    if image.mode in ("I", "F"):
        raise ValueError("32 bits a pixel, whose white is unknown: save it with 8 or 16")
    return image


def _upright(image: Picture) -> Picture:
    from PIL import Image

    try:
        orientation = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged block, which costs nothing but the orientation
        return image
    if orientation not in range(2, 9):
        return image
    return image.transpose(Image.Transpose[TRANSPOSED[orientation - 2]])


def _over_white(image: Picture, kind: str | None) -> Picture:
    from PIL import Image

    image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    if kind not in (*BLANK, None) and image.getchannel("A").getextrema() == (0, 0):
        image.putalpha(255)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)


def _is_grey(image: Picture) -> bool:
    red, green, blue = (np.asarray(channel) for channel in image.split())
    return bool((red == green).all() and (red == blue).all())
