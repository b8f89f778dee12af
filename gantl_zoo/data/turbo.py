"""Decode ordinary JPEG files with simplejpeg (extra `jpeg`), which is faster than Pillow.

Both use libjpeg-turbo, and the pixels are the same. Pillow decodes what simplejpeg can't.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

from gantl_zoo.data.damage import jpeg_segments

if TYPE_CHECKING:
    from gantl_zoo.data.decode import Pixels

START, APP1 = b"\xff\xd8\xff", 0xE1  # APP1 is EXIF or XMP: either may turn the picture
MODES = {"YCbCr": "RGB", "Gray": "GRAY"}  # what a file stores, and what it becomes
SCALES = (8, 4, 2, 1)  # those that Pillow decodes at


@cache
def library() -> Any:
    """The module simplejpeg, or None if it is not installed or if Pillow has another decoder."""
    from PIL import features

    try:
        import simplejpeg
    except Exception:  # a broken library raises anything
        return None
    return simplejpeg if features.check_feature("libjpeg_turbo") else None


def decoded(content: bytes, least: int) -> tuple[Pixels, tuple[int, int]] | None:
    """A JPEG file's pixels (H, W) or (H, W, 3) at the smallest scale with no side shorter than `least`, and
    its own width and height.

    None for a file with EXIF or XMP, damage or unusual colours, for other formats, and without simplejpeg.
    """
    turbo = library()
    if turbo is None or not content.startswith(START):
        return None
    from PIL.Image import MAX_IMAGE_PIXELS as MOST

    try:
        if any(content[at + 1] == APP1 for at, _ in jpeg_segments(content)):
            return None
        height, width, colours, _ = turbo.decode_jpeg_header(content)
        if colours not in MODES or height * width > (MOST or height * width):
            return None
        scale = next((scale for scale in SCALES if min(height, width) // least >= scale), 1)
        sides = {"min_height": -(-height // scale), "min_width": -(-width // scale)}
        pixels = turbo.decode_jpeg(content, MODES[colours], fastdct=False, fastupsample=False, **sides)
    except Exception:  # also for mere warnings: Pillow decodes the file, or says what is wrong
        return None
    return pixels[..., 0] if colours == "Gray" else pixels, (width, height)
