"""Pictures of a page, as WebP data URIs within a limit of bytes."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL.Image import Image

SIDE = 640  # pixels of the longer side, at most; wider for comparisons
WIDE = 1200
QUALITIES = (86, 70, 50, 30)  # of WebP, from the first one with which the pictures fit
FRAMES = 20  # of the slider


@dataclass(frozen=True)
class Figure:
    """A picture with its caption. `uri` has the data; `width` and `height` are pixels."""

    caption: str
    uri: str
    width: int
    height: int


def figures(files: Sequence[tuple[str, Path]], limit: int, side: int = SIDE) -> list[Figure]:
    """Figures of files, each with a caption, in at most `limit` bytes. Damaged files are left out."""
    pictures = [(caption, one) for caption, path in files if (one := opened(path, side)) is not None]
    return encoded(pictures, limit)


def encoded(pictures: Sequence[tuple[str, Image]], limit: int) -> list[Figure]:
    """Figures of pictures in at most `limit` bytes, of the best quality that fits."""
    for halved in (False, True):
        for quality in QUALITIES:
            shown = [figure(caption, half(one) if halved else one, quality) for caption, one in pictures]
            if sum(len(one.uri) for one in shown) <= limit:
                return shown
    return []


def figure(caption: str, picture: Image, quality: int) -> Figure:
    """A picture as a figure."""
    file = io.BytesIO()
    picture.save(file, "webp", quality=quality, method=2)
    text = base64.b64encode(file.getvalue()).decode()
    return Figure(caption, f"data:image/webp;base64,{text}", *picture.size)


def half(picture: Image) -> Image:
    """The picture at half its size."""
    width, height = picture.size
    return picture.resize((max(1, width // 2), max(1, height // 2)))


def opened(path: Path, side: int) -> Image | None:
    """The picture in a file, reduced to `side`; None if there is none or it is damaged."""
    from PIL import Image

    try:
        with Image.open(path) as file:
            picture = file.convert("RGB")
    except (OSError, ValueError, SyntaxError):
        return None
    picture.thumbnail((side, side))
    return picture


def spread(files: Sequence[tuple[int, Path]], count: int = FRAMES) -> list[tuple[int, Path]]:
    """At most `count` of the files, evenly, with the first and the last one."""
    if len(files) <= count:
        return list(files)
    return [files[round(i * (len(files) - 1) / (count - 1))] for i in range(count)]
