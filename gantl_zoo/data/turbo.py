"""Decode ordinary JPEG files with simplejpeg (extra `jpeg`), in three quarters of Pillow's time.

Both libraries use libjpeg-turbo, and the pixels are the same. What simplejpeg does not take, Pillow decodes.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np

Pixels = np.ndarray[tuple[int, ...], np.dtype[np.uint8]]
START, SCAN, EXIF = b"\xff\xd8\xff", b"\xff\xda", b"Exif\0\0"
MODES = {"YCbCr": "RGB", "Gray": "GRAY"}  # what a file stores, and what it becomes
SCALES = (8, 4, 2, 1)  # those that Pillow decodes at


@cache
def library() -> Any:
    """The module simplejpeg, or None if it is not installed."""
    try:
        import simplejpeg
    except ImportError:
        return None
    return simplejpeg


def decoded(content: bytes, least: int) -> tuple[Pixels, tuple[int, int]] | None:
    """A JPEG file's pixels (H, W) or (H, W, 3) at the smallest scale with no side shorter than `least`, and
    its own width and height.

    None for a file that may be turned (EXIF), is damaged, has unusual colours or is not a JPEG, and without
    simplejpeg.
    """
    turbo = library()
    if turbo is None or not content.startswith(START) or EXIF in content[: content.find(SCAN)]:
        return None
    from PIL.Image import MAX_IMAGE_PIXELS as MOST

    try:
        height, width, colours, _ = turbo.decode_jpeg_header(content)
        if colours not in MODES or height * width > (MOST or height * width):
            return None
        scale = next((scale for scale in SCALES if min(height, width) // least >= scale), 1)
        sides = {"min_height": -(-height // scale), "min_width": -(-width // scale)}
        pixels = turbo.decode_jpeg(content, MODES[colours], fastdct=False, fastupsample=False, **sides)
    except ValueError:  # also for mere warnings about the file
        return None
    return pixels[..., 0] if colours == "Gray" else pixels, (width, height)
