"""`load`: the one door to data. A name, a folder or a zip becomes `ImageData`."""

from __future__ import annotations

import os
from pathlib import Path

from gantl_zoo.data import builtin, files, glyphs
from gantl_zoo.data.images import ImageData
from gantl_zoo.errors import DataError, UsageError

NAMES = ("cifar10", "digits", "fashion-mnist", "glyphs", "kmnist", "mnist", "stacked-mnist")
SPLITS = ("train", "test")


def load(
    source: str | Path | ImageData,
    *,
    split: str = "train",
    image_size: int | None = None,
    channels: int | None = None,
    shots: int | None = None,
    data_seed: int = 0,
    root: str | Path | None = None,
) -> ImageData:
    """Images from a data name, a folder (sub-folders are classes), a zip of either, or `ImageData`.

    `source:CLASSES` takes some classes only: names, numbers or ranges of numbers, as in "mnist:0-4" or
    "photos:cat,dog". `split` is "train" or "test". Of a folder or zip these are its folders `train` and
    `test` (or `val`) if it has nothing else; otherwise a tenth is held out by the hash of its path. `root`
    is where torchvision's sets lie or are put (else `GANTL_ZOO_DATA`, else the user's cache). `shots` takes
    a fixed subset by `data_seed`. Raises `DataError`, for no size `UsageError`.
    """
    if split not in SPLITS:
        raise DataError(f"split {split!r} is none of {', '.join(SPLITS)}")
    if image_size is not None and image_size < 1:
        raise UsageError(f"image_size must be at least 1, not {image_size}")
    if isinstance(source, ImageData):
        found = source
    elif isinstance(source, Path) and source.exists():  # also if a data name is called like that
        found = files.load(source, split, image_size)
    elif chosen := _chosen(str(source)):
        name, classes = chosen
        every = load(name, split=split, image_size=image_size, data_seed=data_seed, root=root)
        found = every.of_classes(classes)
    else:
        found = _named(str(source), split, image_size, data_seed, root)
    found = found.fit(image_size, channels)
    return found if shots is None else found.few(shots, data_seed)


def _named(
    name: str, split: str, image_size: int | None, data_seed: int, root: str | Path | None
) -> ImageData:
    """The images of a data name, or of a place that is spelled out. Raises `DataError` for neither."""
    if name == "glyphs":
        drawn = data_seed if split == "train" else 0  # what is held out is the same for every seed
        return glyphs.load(split, seed=drawn, image_size=image_size or 28)
    if name == "digits":
        return builtin.digits(split)
    if name == "stacked-mnist":
        return builtin.stacked_mnist(split, _root(root))
    if name in NAMES:
        return builtin.torchvision_set(name, split, _root(root))
    if Path(name).exists():
        return files.load(Path(name), split, image_size)
    raise DataError(f"no data {name!r}: it is neither a folder nor a zip nor one of {', '.join(NAMES)}")


def spoken(source: str | Path | ImageData) -> str:
    """The source as a text that `load` takes for the same, so that a folder called "mnist" stays one."""
    if isinstance(source, ImageData):
        return source.name
    folder = isinstance(source, Path) and source.exists() and str(source) in NAMES
    return f"./{source}" if folder else str(source)


def _chosen(source: str) -> tuple[str, str] | None:
    """`"mnist:0-4"` as `("mnist", "0-4")`; None for what names no classes."""
    name, colon, classes = source.rpartition(":")
    if not colon or Path(source).exists() or not (name in NAMES or Path(name).exists()):
        return None
    return name, classes


def _root(root: str | Path | None) -> Path:
    return Path(root or os.environ.get("GANTL_ZOO_DATA") or Path.home() / ".cache" / "gantl_zoo" / "data")
