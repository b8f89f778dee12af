"""Decode image files into pixels. What each kind of file becomes:

| file | pixels |
|---|---|
| 1 bit or 8 bits, grey; a palette of greys | 1 channel |
| 16 bits, grey (PNG, TIFF, PGM), with or without alpha | 1 channel, the upper 8 bits |
| RGB, CMYK, a palette of colours; 16 bits each, too | 3 channels of 8 bits |
| 32 bits per channel, integers or floats | rejected: its white level is not defined |
| transparent pixels | blended with white by their alpha |
| alpha of 0 everywhere | ignored in BMP, TGA, TIFF, …; white in PNG, WebP, GIF, AVIF |
| an orientation in EXIF | turned upright; a damaged EXIF block is ignored |
| an ICC profile, gamma | ignored: values are taken as sRGB |
| several frames or pages | the first one |
| not a square, if a size is given | its centre, or all of it with padding (`fit.py`) |

A data set is grey if all of its images are; otherwise grey images become RGB. A warning is logged if no image
of a 16-bit data set uses more than a quarter of the range (12 bits stored in 16 use 6 %).
"""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from gantl_zoo.data import turbo
from gantl_zoo.data.damage import kind_of, without_metadata
from gantl_zoo.data.fit import CROP, square_picture

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
GREY = ("1", "L", "LA", "La", "I", "F")
ORIENTATION, BITS = 0x0112, 0x0102  # tags of EXIF and TIFF
TRANSPOSED = ("FLIP_LEFT_RIGHT", "ROTATE_180", "FLIP_TOP_BOTTOM", "TRANSPOSE", "ROTATE_270", "TRANSVERSE",
              "ROTATE_90")  # fmt: skip  # for orientations 2 to 8
SIDEWAYS = 5  # from this EXIF orientation on, width and height change places
BLANK = ("PNG", "WEBP", "GIF", "AVIF")  # formats in which an alpha of 0 everywhere is intended

logging.getLogger("PIL").addHandler(logging.NullHandler())  # else its messages appear on standard error


@contextmanager
def quiet() -> Iterator[None]:
    """Suppress Pillow's warnings inside, whatever the warning filters are. Not for use in threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def decoder() -> str:
    """The libraries that decode, and their versions: others may decode the same file to other pixels."""
    from PIL import __version__

    faster = turbo.library()
    return f"Pillow {__version__}" + (f", simplejpeg {faster.__version__}" if faster else "")


class Decoded(NamedTuple):
    """The pixels (C, H, W) uint8 of a file, whether it has 16 bits per channel, its width and height when
    upright, whether any pixel is transparent, and whether it was decoded at a reduced scale.
    """

    pixels: Pixels
    deep: bool
    size: tuple[int, int]
    transparent: bool
    reduced: bool = False


class Flat(NamedTuple):
    """An upright picture on white, in mode "L" or "RGB", and whether any of its pixels was transparent."""

    picture: Picture
    transparent: bool

    def pixels(self, image_size: int | None, fit: str = CROP) -> Pixels:
        """The pixels (C, H, W) uint8, as a square of `image_size` if given."""
        picture = self.picture
        if image_size is not None:
            picture = square_picture(picture, image_size, fit, white=self.transparent)
        return planes(np.array(picture))


def planes(pixels: Pixels) -> Pixels:
    """Pixels (H, W) or (H, W, 3) as (C, H, W)."""
    return pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode(content: bytes, image_size: int | None, fit: str = CROP, *, fast: bool = False) -> Decoded:
    """Decode an image file. Raises `ValueError` if it is not an image, and whatever Pillow raises.

    `fast` decodes a JPEG file at 1/2, 1/4 or 1/8 of its size if that is not smaller than `image_size`, which
    takes a third of the time. Its pixels differ less from the exact ones (43 dB) than those of bilinear
    resizing do (40 dB).
    """
    if fast and image_size is not None and (quick := turbo.decoded(content, image_size)) is not None:
        return squared(*quick, image_size, fit)
    size: list[tuple[int, int]] = []  # before the scale is reduced
    with opened(content, image_size if fast else None, size) as image:
        deep, whole = is_deep(image, content), size[-1]
        upright = whole if orientation(image) < SIDEWAYS else whole[::-1]
        reduced = image.size != whole
        flat = flattened(image, stored_grey(image, content))
        return Decoded(flat.pixels(image_size, fit), deep, upright, flat.transparent, reduced)


def squared(pixels: Pixels, size: tuple[int, int], image_size: int, fit: str) -> Decoded:
    """The result for the pixels (H, W) or (H, W, 3) of a file of `size`, made a square."""
    from PIL import Image

    reduced = pixels.shape[:2] != size[::-1]
    if pixels.shape[:2] != (image_size, image_size):
        pixels = np.asarray(square_picture(Image.fromarray(pixels), image_size, fit))
    return Decoded(planes(pixels), False, size, False, reduced)


def stored_grey(image: Picture, content: bytes) -> bool | None:
    """Whether a PNG file stores grey; its mode in Pillow doesn't show that for 16 bits with alpha."""
    return content[25:26] in (b"\0", b"\4") if image.format == "PNG" else None


def size_of(content: bytes) -> tuple[int, int]:
    """Width and height from a file's header, without decoding the pixels. Raises as `decode` does."""
    from PIL import Image

    with Image.open(io.BytesIO(content)) as image:
        width, height = image.size
    return width, height


def is_deep(image: Picture, content: bytes) -> bool:
    """Whether a file has 16 bits per channel; Pillow's mode shows that for grey images only."""
    if image.format == "PNG":
        return content[24:25] == b"\x10"
    bits = getattr(image, "tag_v2", {}).get(BITS, ())  # of TIFF
    return image.mode.startswith("I;16") or (isinstance(bits, tuple) and max(bits, default=8) > 8)


def opened(content: bytes, least: int | None = None, size: list[tuple[int, int]] | None = None) -> Picture:
    """The decoded image; damaged metadata are left out. Raises as `decode` does.

    A JPEG may have a reduced scale if its sides stay at least `least`; its own size is appended to `size`.
    """
    from PIL import UnidentifiedImageError

    try:
        return _loaded(content, least, size)
    except Exception as error:  # damaged files make Pillow raise anything
        bare = without_metadata(content)
        if bare is not None and bare != content:
            try:
                return _loaded(bare, least, size)
            except Exception:
                raise error from None
        if isinstance(error, UnidentifiedImageError):
            raise ValueError(kind_of(content) or "not a known image format") from None
        raise


def _loaded(content: bytes, least: int | None, size: list[tuple[int, int]] | None) -> Picture:
    from PIL import Image

    image = Image.open(io.BytesIO(content))
    if size is not None:
        size.append(image.size)
    if least is not None and min(image.size) >= 2 * least:
        image.draft(None, (least, least))  # None keeps the mode
    try:
        image.load()
    except Exception:
        if image.tile:  # pixels are missing; otherwise only data after them is damaged
            raise
    return image


def flattened(image: Picture, grey: bool | None = None) -> Flat:
    """Turn an image upright, blend it with white, and convert it to 8 bits, grey or RGB.

    `grey` says what the file stores if Pillow's mode doesn't show it (`stored_grey`). The picture may be
    `image` itself.
    """
    kind, transparent = image.format, False
    grey = bool(grey) or image.mode in GREY or image.mode.startswith("I;16")
    palette = image.mode in ("P", "PA")
    image = _upright(image)
    image = eight_bits(image, kind)
    if image.has_transparency_data:
        image, transparent = _over_white(image, kind)
    if image.mode != (mode := "L" if grey else "RGB"):
        image = image.convert(mode)  # which copies in any case
    if palette and not grey and is_grey(image):
        image = image.getchannel(0)
    return Flat(image, transparent)


def eight_bits(image: Any, kind: str | None) -> Any:
    """Convert a channel of more than 8 bits to its upper 8 bits; Pillow would clip the values at 255."""
    from PIL import Image

    if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
        values = np.asarray(image)
        upper = (values >> 8).astype(np.uint8)
        clear = image.info.get("transparency")
        return Image.fromarray(
            np.where(values == clear, np.uint8(255), upper) if isinstance(clear, int) else upper
        )
    if image.mode in ("I", "F"):
        raise ValueError("32 bits per pixel, whose white level is unknown: save it with 8 or 16")
    return image


def _upright(image: Picture) -> Picture:
    from PIL import Image

    if (turn := orientation(image)) == 1:
        return image
    return image.transpose(Image.Transpose[TRANSPOSED[turn - 2]])


def orientation(image: Picture) -> int:
    """The EXIF orientation, 1 (upright) to 8."""
    try:
        turn = image.getexif().get(ORIENTATION, 1)
    except Exception:  # a damaged EXIF block: only the orientation is lost
        return 1
    return turn if turn in range(2, 9) else 1


def _over_white(image: Picture, kind: str | None) -> tuple[Picture, bool]:
    """The image blended with white, and whether any pixel was transparent."""
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
