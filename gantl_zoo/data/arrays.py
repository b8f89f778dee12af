"""Convert images in memory to `ImageData`: tensors, arrays, lists, torch data sets."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from gantl_zoo.data.decode import flattened, quiet
from gantl_zoo.data.fit import CROP
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.treatment import Treatment
from gantl_zoo.errors import DataError

FORMS = (
    "data must be a data set name, a folder, a zip, or images in memory: "
    "gz.ImageData(images, labels) with a uint8 tensor (N, C, H, W)"
)
CHANNELS = (1, 3)


class About(NamedTuple):
    """Width and height of an image, and whether any of its pixels was transparent."""

    size: tuple[int, int]
    transparent: bool


def source_of(data: Any, image_size: int | None = None, fit: str = CROP) -> str | Path | ImageData:
    """The name or path of the data, with `~` expanded, or the images in memory as `ImageData`.

    Raises `DataError` for any other type.
    """
    if isinstance(data, str | os.PathLike):
        place = os.fspath(data)
        if not isinstance(place, str) or not place or place.startswith(":"):
            raise DataError(f"data {place!r} is not a valid name or path; {FORMS}")
        expanded = os.path.expanduser(place)
        return Path(expanded) if isinstance(data, os.PathLike) else expanded
    return as_image_data(data, image_size, fit)


def as_image_data(value: Any, image_size: int | None = None, fit: str = CROP) -> ImageData:
    """Convert images in memory to `ImageData`. Raises `DataError` if their layout is ambiguous.

    Accepts a uint8 tensor or array (N, C, H, W) or (N, H, W), an array (N, H, W, C), a sequence of PIL
    images, tensors or arrays of one image each, or a torch data set of images or of pairs (image, label). PIL
    images become squares of `image_size`, cropped or padded as `fit` says.
    """
    if isinstance(value, ImageData):
        return value
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.is_meta):
        raise DataError(f"data is not valid: a sparse or meta tensor ({value.layout}); {FORMS}")
    if isinstance(value, Tensor | np.ndarray):
        return ImageData(_batch(value))
    if (
        isinstance(value, str | bytes | type)
        or not hasattr(value, "__getitem__")
        or not hasattr(value, "__len__")
    ):
        raise DataError(f"data is not valid: {_kind(value)}; {FORMS}")
    if isinstance(value, dict) or not len(value):
        raise DataError(f"data is not valid: {_kind(value)}; {FORMS}")
    images, flat, labels = [], [], []
    for image, *label in _rows(value):
        pixels, about = _one(image, image_size, fit)
        images.append(pixels)
        flat.append(about)
        labels += label
    if len(sizes := {tuple(image.shape[1:]) for image in images}) > 1:
        shown = ", ".join(f"{width}×{height}" for height, width in sorted(sizes)[:4])
        raise DataError(f"data has images of different sizes ({shown}); resize them to one size; {FORMS}")
    channels = max(len(image) for image in images)
    pixels = torch.stack([image.expand(channels, -1, -1) for image in images])
    if len(labels) not in (0, len(images)):
        raise DataError(f"data is not valid: {len(labels)} labels for {len(images)} images; {FORMS}")
    treatment = Treatment.of([about.size for about in flat], [about.transparent for about in flat], fit)
    if not labels:
        return ImageData(pixels, treatment=treatment)
    numbers, classes = _labelled(labels, getattr(value, "classes", None))
    return ImageData(pixels, numbers, classes, treatment=treatment)


def _rows(value: Any) -> Iterator[tuple[Any, ...]]:
    """Yield (image,) or (image, label) for each item."""
    for i in range(len(value)):
        try:
            row = value[i]
        except Exception as error:  # a data set may raise anything
            text = f"{type(error).__name__}: {error}".splitlines()[0][:200]
            raise DataError(f"data can't be read: {text}; {FORMS}") from error
        row = row if isinstance(row, tuple) else (row,)
        if len(row) not in (1, 2):
            raise DataError(
                f"data is not valid: it has an item of {len(row)} parts, not (image, label); {FORMS}"
            )
        yield row


def _batch(value: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """Convert a tensor or an array of images to (N, C, H, W) uint8. Raises `DataError`."""
    shape = tuple(value.shape)
    last = isinstance(value, np.ndarray) and len(shape) == 4 and shape[3] in CHANNELS
    first = len(shape) == 4 and shape[1] in CHANNELS
    plane = len(shape) == 3 and not {shape[0], shape[2]} & {1, 3, 4}  # else it may be a single image
    if not _is_uint8(value) or 0 in shape or first + last + plane != 1:
        raise DataError(f"data is not valid: {_kind(value)}; {FORMS}")
    images = _tensor(value)
    images = images.unsqueeze(1) if plane else images  # (N, 1, H, W)
    return images.permute(0, 3, 1, 2).contiguous() if last else images


def _one(value: Any, image_size: int | None, fit: str) -> tuple[Tensor, About]:
    """One image (C, H, W) uint8, and its original size and transparency. Raises `DataError`."""
    from PIL import Image

    if isinstance(value, Image.Image):
        try:
            with quiet():
                flat = flattened(value)
                pixels = torch.from_numpy(np.ascontiguousarray(flat.pixels(image_size, fit)))
                return pixels, About(flat.picture.size, flat.transparent)
        except Exception as error:  # Pillow may raise anything: a mode it can't convert, a closed file
            raise DataError(f"data has an image that can't be read: {error}; {FORMS}") from error
    if not isinstance(value, Tensor | np.ndarray) or not _is_uint8(value) or 0 in value.shape:
        raise DataError(f"data is not valid: it has an item that is {_kind(value)}; {FORMS}")
    shape = tuple(value.shape)
    first = len(shape) == 3 and shape[0] in CHANNELS
    last = len(shape) == 3 and shape[2] in CHANNELS
    if first + last + (len(shape) == 2) != 1:
        raise DataError(f"data is not valid: it has an item that is {_kind(value)}; {FORMS}")
    image = _tensor(value)
    image = image.permute(2, 0, 1).contiguous() if last else image.view(-1, *shape[-2:])
    return image, About((image.shape[2], image.shape[1]), False)


def _labelled(labels: Sequence[Any], names: Any) -> tuple[Tensor, tuple[str, ...]]:
    """Labels (N,) that count from 0, and the names of the classes."""
    try:
        numbers = torch.tensor([int(label) for label in labels])
        whole = all(number == label for number, label in zip(numbers.tolist(), labels, strict=True))
    except (TypeError, ValueError, RuntimeError):
        whole = False
    if not whole or numbers.min() < 0:
        raise DataError(
            f"data has labels that are not class numbers, such as {str(labels[0])[:40]!r}; {FORMS}"
        )
    if isinstance(names, list | tuple) and len(names) > int(numbers.max()):
        return numbers, tuple(map(str, names))
    values, numbers = torch.unique(numbers, return_inverse=True)
    return numbers, tuple(map(str, values.tolist()))


def _is_uint8(value: Tensor | np.ndarray[Any, Any]) -> bool:
    return value.dtype == (torch.uint8 if isinstance(value, Tensor) else np.uint8)


def _tensor(value: Tensor | np.ndarray[Any, Any]) -> Tensor:
    """A copy on the CPU, since an array may be read-only or change later."""
    return value.detach().cpu().clone() if isinstance(value, Tensor) else torch.from_numpy(np.array(value))


def _kind(value: Any) -> str:
    """The value's type, and its shape if it has one."""
    if isinstance(value, Tensor) and (value.layout != torch.strided or value.is_meta):
        raise DataError(f"data is not valid: a sparse or meta tensor ({value.layout}); {FORMS}")
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} of {str(value.dtype).removeprefix('torch.')} {tuple(value.shape)}"
    return (
        "None"
        if value is None
        else f"{type(value).__module__}.{type(value).__qualname__}".removeprefix("builtins.")
    )
