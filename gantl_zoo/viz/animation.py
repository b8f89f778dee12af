"""Write images as an animation: GIF, WebP or animated PNG."""

from __future__ import annotations

import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from gantl_zoo.errors import DataError, UsageError
from gantl_zoo.pixels import to_uint8
from gantl_zoo.storage.atomic import replace_file

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 224  # pixels; smaller frames are enlarged by a whole factor up to this side
KINDS: dict[str, dict[str, Any]] = {
    ".gif": {"optimize": False, "disposal": 1},
    ".webp": {"quality": 85, "method": 4},
    ".png": {},
    ".apng": {},
}


def save_animation(
    images: Tensor, path: str | Path, *, fps: float = 16.0, loop: bool = True, hold: int = 0
) -> Path:
    """Write images (N, C, H, W), uint8 or float in [-1, 1], as frames; returns the path.

    The suffix is .gif, .webp, .png or .apng. `fps` are frames per second, `loop` repeats without an end, and
    `hold` shows the last frame for this many frames more. Raises `UsageError`, and `DataError` if the file
    can't be written.
    """
    path = Path(os.path.expanduser(path))
    kind = path.suffix.lower()
    if kind not in KINDS:
        raise UsageError(f"{path} is not an animation: its suffix must be {', '.join(KINDS)}")
    if not len(images):
        raise UsageError("there are no images to animate")
    if not isinstance(fps, (int, float)) or not math.isfinite(fps) or not 0.1 <= fps <= 50:
        raise UsageError(f"fps must be from 0.1 to 50, not {fps!r}")
    frames = [frame(image) for image in images]
    times = [max(20, round(1000 / fps))] * len(frames)
    times[-1] += hold * times[0]
    options: dict[str, Any] = {**KINDS[kind], "duration": times}
    if kind != ".gif" or loop:  # a GIF without that number is shown once
        options["loop"] = 0 if loop else 1
    if kind == ".gif":
        frames = [one if one.mode == "L" else palette(one) for one in frames]
    try:
        with replace_file(path) as beside:
            form = {".apng": "PNG", ".png": "PNG", ".gif": "GIF", ".webp": "WEBP"}[kind]
            frames[0].save(beside, format=form, save_all=True, append_images=frames[1:], **options)
    except OSError as error:
        raise DataError(f"can't write the animation {path}: {error.strerror or error}") from error
    return path


def frame(image: Tensor) -> Image:
    """An image (C, H, W) as a picture, enlarged if it is small."""
    from PIL import Image

    pixels = image.detach().cpu()
    pixels = pixels if pixels.dtype == torch.uint8 else to_uint8(pixels)
    scale = max(1, SIDE // max(pixels.shape[1:]))
    pixels = pixels.repeat_interleave(scale, 1).repeat_interleave(scale, 2).permute(1, 2, 0)
    return Image.fromarray((pixels[..., 0] if pixels.shape[2] == 1 else pixels).numpy())


def palette(picture: Image) -> Image:
    """A picture in its own 256 colours, as GIF stores it, without the noise of dithering between frames."""
    from PIL import Image

    return picture.convert("RGB").quantize(256, dither=Image.Dither.NONE)
