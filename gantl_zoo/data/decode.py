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
| not a square, where a size is asked for | its centre, or all of it with padding (`fit.py`) |

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
from gantl_zoo.data.fit import CROP, square_picture

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
    """An image's pixels, (C, H, W) uint8, and what its file holds: 16 bits a channel, width and height when
    upright, transparent pixels.
    """

    pixels: Pixels
    deep: bool
    size: tuple[int, int]
    transparent: bool


class Flat(NamedTuple):
    """A picture, upright and without transparency: "L" or "RGB"; and whether it was transparent anywhere."""

    picture: Picture
    transparent: bool

    def pixels(self, image_size: int | None, fit: str = CROP) -> Pixels:
        """(C, H, W) uint8, as a square of `image_size` if that is given."""
        picture = self.picture
        if image_size is not None:
            picture = square_picture(picture, image_size, fit, white=self.transparent)
        pixels: Pixels = np.array(picture)
        return pixels[None] if picture.mode == "L" else pixels.transpose(2, 0, 1)


def decode(content: bytes, image_size: int | None, fit: str = CROP) -> Decoded:
    """The image in a file. Raises what Pillow raises, `ValueError` for a file that is not an image."""
    with opened(content) as image:
        deep = is_deep(image, content)
        flat = flattened(image, stored_grey(image, content))
        return Decoded(flat.pixels(image_size, fit), deep, flat.picture.size, flat.transparent)


def stored_grey(image: Picture, content: bytes) -> bool | None:
    """Whether a PNG file stores grey, which Pillow's mode does not say for 16 bits with alpha."""
    return content[25:26] in (b"\0", b"\4") if image.format == "PNG" else None


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


def flattened(image: Picture, grey: bool | None = None) -> Flat:
    """An image turned upright, put over white, and converted to 8 bits, grey or RGB.

    `grey` tells what the file stores where Pillow's mode doesn't, as for PNG of 16-bit grey with alpha.
    """
    kind, transparent = image.format, False
    grey = bool(grey) or image.mode in GREY or image.mode.startswith("I;16")
    palette = image.mode in ("P", "PA")
    image = _upright(image)
    image = eight_bits(image, kind)
    if image.has_transparency_data:
        image, transparent = _over_white(image, kind)
    image = image.convert("L" if grey else "RGB")
    if palette and not grey and is_grey(image):
        image = image.getchannel(0)
    return Flat(image, transparent)


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

    if (turn := orientation(image)) == 1:
        return image
    return image.transpose(Image.Transpose[TRANSPOSED[turn - 2]])


def orientation(image: Picture) -> int:
    """The orientation in EXIF, 1 (upright) to 8."""
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged block, which costs nothing but the orientation
        return 1
    return turn if turn in range(2, 9) else 1


def _over_white(image: Picture, kind: str | None) -> tuple[Picture, bool]:
    """The image over white, and whether any pixel was transparent."""
    from PIL import Image

    image = image.convert("LA").convert("RGBA") if image.mode == "La" else image.convert("RGBA")
    alpha = image.getchannel("A").getextrema()
    if kind not in (*BLANK, None) and alpha == (0, 0):
        image.putalpha(255)
        alpha = (255, 255)
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image), alpha[0] != 255


def is_grey(image: Picture) -> bool:
    """Whether the three channels of an RGB picture are equal."""
    red, green, blue = (np.asarray(channel) for channel in image.split())
    return bool((red == green).all() and (red == blue).all())
