"""`load`: read images from a data set name, a folder, a zip, or memory."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

from gantl_zoo.data import files, registered
from gantl_zoo.data.arrays import source_of
from gantl_zoo.data.fit import CROP, check_fit
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.places import kind_of
from gantl_zoo.data.stream import Stream
from gantl_zoo.errors import DataError, UsageError, unknown
from gantl_zoo.registry.builtins import datasets

SPLITS = ("train", "test")
SPLIT_BY = ("content", "path", "class")
LARGEST = 16_384  # pixels; a larger size is a typing error


def load(
    source: Any,
    *,
    split: str = "train",
    image_size: int | None = None,
    channels: int | None = None,
    shots: int | None = None,
    data_seed: int = 0,
    root: str | Path | None = None,
    split_by: str = "content",
    fit: str = CROP,
) -> ImageData:
    """Load images from a data set name, a folder (sub-folders are classes), a zip of either, or memory.

    `source:CLASSES` selects some classes: names, numbers or ranges of numbers, as in "mnist:0-4" or
    "photos:cat,dog". `as_image_data` lists the types that `source` may have in memory.

    `split` is "train" or "test". In a folder or zip these are the folders `train` and `test` (or `val`) if it
    has nothing else; otherwise about a tenth is held out by the hash of the content. With `split_by` "class"
    it is about a tenth of each class; with "path", as in old runs, the hash is that of the path. `shots`
    selects a fixed subset by `data_seed`. `root` is the folder for downloads (default: `GANTL_ZOO_DATA`, else
    the user's cache). Images that are not square are cropped to their centre, or padded with `fit` "pad"
    (`gantl_zoo.data.fit`).

    Raises `DataError`; `UsageError` for an invalid size or fit.
    """
    _check_choice("split", split, SPLITS)
    _check_choice("split_by", split_by, SPLIT_BY)
    image_size, channels, fit = _size(image_size), _whole("channels", channels), check_fit(fit)
    shots, data_seed = _whole("shots", shots), _seed(data_seed)
    images = source_of(source, image_size, fit)
    if not isinstance(images, ImageData):
        place, classes = chosen(images)
        if is_name(place) and classes is None:
            _check_named(str(place), split, image_size, shots)
        wishes = {"image_size": image_size, "fit": fit, "data_seed": data_seed or 0}
        images = _placed(place, split, wishes, root=root, split_by=split_by)
        images = images if classes is None else images.of_classes(classes)
    images = images if shots is None else images.few(shots, data_seed)
    return _fitted(images, image_size, channels, fit)


def _fitted(images: ImageData, image_size: int | None, channels: int | None, fit: str) -> ImageData:
    """The images at a size and a number of channels. Raises `DataError` if the memory can't hold them."""
    if image_size and images.shape[1:] != (image_size, image_size) and not isinstance(images.images, Stream):
        files.check_memory(images.name, len(images) * images.shape[0] * image_size**2, image_size)
    return images.fit(image_size, channels, fit)


def _check_choice(what: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise DataError(unknown(what, value, choices))


def _seed(value: Any) -> Any:
    """A `data_seed` as an int; None stays None. Raises `UsageError` if it is not valid."""
    seed = _whole("data_seed", value)
    if seed is not None and not 0 <= seed < 1 << 31:
        raise UsageError(f"data_seed must be from 0 to {(1 << 31) - 1:,}, not {seed}")
    return seed


def estimate(
    source: Any, *, split: str = "train", image_size: int | None = None, channels: int | None = None
) -> int | None:
    """Approximate bytes of the images in memory, without decoding them; None if unknown."""
    image_size, channels = _size(image_size), _whole("channels", channels)
    place = source_of(source)
    if isinstance(place, ImageData):
        count, (depth, height, width) = len(place), place.shape
    else:
        place, classes = chosen(place)
        if classes is not None:
            return None
        if not is_name(place):
            return files.estimate(Path(place), split, image_size, channels) if kind_of(place) else None
        if (sizes := registered.sizes_of(str(place))) is None:
            return None
        count, (depth, height, width) = sizes.test if split == "test" else sizes.train, sizes.shape
    return count * (channels or depth) * (image_size or height) * (image_size or width)


def spoken(source: Any) -> str:
    """The source as text with the same meaning for `load`, so that a folder "mnist" becomes "./mnist"."""
    if not isinstance(source, str | os.PathLike):
        return source.name if isinstance(source, ImageData) else "data"
    folder = isinstance(source, Path) and source.exists() and str(source) in datasets
    return f"./{source}" if folder else str(source)


def is_name(source: Any) -> bool:
    """Whether a source is a data set name, with or without classes, even if a folder has that name.

    A `Path` never is.
    """
    if not isinstance(source, str):
        return False
    place, _ = chosen(source)
    return place in datasets


def _size(image_size: Any) -> int | None:
    """An image size as an int. Raises `UsageError` if it is not valid."""
    size: int | None = _whole("image_size", image_size)
    if size is not None and not 1 <= size <= LARGEST:
        limit = "at least 1" if size < 1 else f"at most {LARGEST:,}"
        raise UsageError(f"image_size must be {limit}, not {size:,}")
    return size


def _whole(key: str, value: Any) -> Any:
    """An integer, such as NumPy's, as an int; None stays None. Raises `UsageError` for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{key} must be a whole number, not {value!r:.80}")
    return int(value)


def _check_named(name: str, split: str, image_size: int | None, shots: int | None) -> None:
    """Raise `DataError` if a named data set would not fit into the free memory.

    One that accepts `image_size` makes all images at that size before `shots` selects some.
    """
    if (sizes := registered.sizes_of(name)) is None:
        return
    count = sizes.test if split == "test" else sizes.train
    if shots is not None and not registered.takes(datasets.load(name), "image_size"):
        count = min(count, shots)
    files.check_memory(name, count * sizes.shape[0] * (image_size or 0) ** 2, image_size)


def _placed(
    place: str | Path, split: str, wishes: dict[str, Any], *, root: str | Path | None, split_by: str
) -> ImageData:
    """The images of a data set name, or of an existing folder or zip. Raises `DataError` for neither."""
    if isinstance(place, str) and place in datasets:
        return registered.read(place, split, root=root, **wishes)
    if kind_of(place) is None and str(place) in datasets:
        return registered.read(str(place), split, root=root, **wishes)
    return files.load(existing(place), split, wishes["image_size"], fit=wishes["fit"], split_by=split_by)


def existing(place: str | Path) -> Path:
    """The archive at `place`. If there is none, raises a `DataError` that lists the data sets."""
    if kind_of(place):
        return Path(place)
    name = str(place)
    if len(datasets.lookup(name)) > 1:
        datasets.info(name)  # two plug-ins have it: the error lists them
    if os.path.dirname(place):  # a path
        raise DataError(
            f"the folder or zip {name!r} does not exist; the data sets are: {', '.join(datasets.names())}"
        )
    raise DataError(
        unknown("data set", place, datasets.names(), hint="there is also no folder or zip of that name")
    )


def chosen(source: str | Path) -> tuple[str | Path, str | None]:
    """Split `"mnist:0-4"` into `("mnist", "0-4")`, or None without classes. Both may contain colons."""
    text = str(source)
    whole = kind_of(source) or text in datasets
    ends = [] if whole else [at for at, letter in enumerate(text) if letter == ":"]
    for at in reversed(ends):
        if text[:at] in datasets or (at and kind_of(text[:at])):
            return text[:at], text[at + 1 :]
    return source, None
