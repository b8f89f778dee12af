"""Images as the bytes of an answer: a PNG, a ZIP of PNGs, or JSON."""

from __future__ import annotations

import base64
import io
import json
import zipfile
from collections.abc import Sequence
from typing import TYPE_CHECKING

from gantl_zoo.pixels import Array
from gantl_zoo.viz.images import file_names
from gantl_zoo.viz.png import png as written
from gantl_zoo.viz.sheet import arranged

if TYPE_CHECKING:
    from gantl_zoo.serve.query import Query


def encode(images: Array, query: Query, name: str) -> bytes:
    """The answer for images (N, C, H, W), uint8, of the model `name`."""
    return {"png": as_png, "zip": as_zip, "json": as_json}[query.format](images, query, name)


def png(images: Array) -> bytes:
    """The PNG of images, in one picture."""
    return written(arranged(images, scale=1))


def as_png(images: Array, query: Query, name: str) -> bytes:
    """One picture of all images, row by row."""
    return png(images)


def as_zip(images: Array, query: Query, name: str) -> bytes:
    """An archive with a PNG for each image, such as seed0007.png."""
    buffer = io.BytesIO()
    names = file_names(len(images), query.seeds, query.labels)
    with zipfile.ZipFile(buffer, "w") as archive:
        for i, file in enumerate(names):
            entry = zipfile.ZipInfo(f"{file}.png")  # of a fixed time: the same request gives the same bytes
            archive.writestr(entry, png(images[i : i + 1]))
    return buffer.getvalue()


def as_json(images: Array, query: Query, name: str) -> bytes:
    """An object with the seed, the class and the PNG (Base64) of each image."""
    labels: Sequence[int | None] = query.labels or [None] * len(images)
    rows = [
        # Base64 has nothing to escape, and a search for that takes longer than the encoding
        f'{{"seed": {seed}, "class": {json.dumps(label)}, "png": "'.encode()
        + base64.b64encode(png(images[i : i + 1]))
        + b'"}'
        for i, (seed, label) in enumerate(zip(query.seeds, labels, strict=True))
    ]
    head = json.dumps({"model": name, "truncation": query.truncation})
    return head[:-1].encode() + b', "images": [' + b", ".join(rows) + b"]}"
