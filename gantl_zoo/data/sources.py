"""`load`: the one door to data. A name, a folder, a zip or images in memory become `ImageData`."""

from __future__ import annotations

import os
from numbers import Integral
from pathlib import Path
from typing import Any

from gantl_zoo.data import builtin, files, glyphs
from gantl_zoo.data.arrays import source_of
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.stream import Stream
from gantl_zoo.errors import DataError, UsageError, unknown

# Images in the training and in the test split, and their shape (C, H, W)
SIZES = {
    "cifar10": (50_000, 10_000, (3, 32, 32)),
    "digits": (1_438, 359, (1, 8, 8)),
    "fashion-mnist": (60_000, 10_000, (1, 28, 28)),
    "glyphs": (glyphs.COUNTS["train"], glyphs.COUNTS["test"], (1, 28, 28)),
    "kmnist": (60_000, 10_000, (1, 28, 28)),
    "mnist": (60_000, 10_000, (1, 28, 28)),
    "stacked-mnist": (builtin.STACKS["train"], builtin.STACKS["test"], (3, 28, 28)),
}
NAMES = tuple(SIZES)
SPLITS = ("train", "test")
SPLIT_BY = ("content", "path")
LARGEST = 16_384  # pixels; larger images are errors in writing


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
) -> ImageData:
    """Images from a data name, a folder (sub-folders are classes), a zip of either, or from memory.

    `source:CLASSES` takes some classes only: names, numbers or ranges of numbers, as in "mnist:0-4" or
    "photos:cat,dog". `split` is "train" or "test". Of a folder or zip these are its folders `train` and
    `test` (or `val`) if it has nothing else; otherwise about a tenth is held out by the hash of its content,
    or of its path with `split_by` "path", as old runs have it. `as_image_data` says what `source` may be in
    memory. `root` is where torchvision's sets lie or are put (else `GANTL_ZOO_DATA`, else the user's cache).
    `shots` takes a fixed subset by `data_seed`. Raises `DataError`, for an impossible size `UsageError`.
    """
    for value, choices, what in ((split, SPLITS, "split"), (split_by, SPLIT_BY, "split_by")):
        if value not in choices:
            raise DataError(unknown(what, value, choices))
    image_size, channels = _size(image_size), _whole("channels", channels)
    shots, data_seed = _whole("shots", shots), _whole("data_seed", data_seed)
    if data_seed is not None and not 0 <= data_seed < 1 << 31:
        raise UsageError(f"data_seed must be from 0 to {(1 << 31) - 1:,}, not {data_seed}")
    place = source_of(source, image_size)
    if isinstance(place, ImageData):
        images = place
    else:
        place, classes = _chosen(place)
        if place in SIZES and classes is None:
            _check_named(str(place), split, image_size, shots)
        images = _placed(place, split, image_size, data_seed, root=root, by_path=split_by == "path")
        images = images if classes is None else images.of_classes(classes)
    images = images if shots is None else images.few(shots, data_seed)
    if image_size and images.shape[1:] != (image_size, image_size) and not isinstance(images.images, Stream):
        files.check_memory(images.name, len(images) * images.shape[0] * image_size**2, image_size)
    return images.fit(image_size, channels)


def estimate(
    source: Any, *, split: str = "train", image_size: int | None = None, channels: int | None = None
) -> int | None:
    """About how many bytes the images take in memory, without decoding them; None where that is not known."""
    image_size, channels = _size(image_size), _whole("channels", channels)
    place = source_of(source)
    if isinstance(place, ImageData):
        count, (depth, height, width) = len(place), place.shape
    else:
        place, classes = _chosen(place)
        if classes is not None:
            return None
        if isinstance(place, Path) or place not in NAMES:
            return files.estimate(Path(place), split, image_size, channels) if os.path.exists(place) else None
        train, test, (depth, height, width) = SIZES[place]
        count = test if split == "test" else train
    return count * (channels or depth) * (image_size or height) * (image_size or width)


def spoken(source: Any) -> str:
    """The source as a text that `load` takes for the same, so that a folder called "mnist" stays one."""
    if not isinstance(source, str | os.PathLike):
        return source.name if isinstance(source, ImageData) else "data"
    folder = isinstance(source, Path) and source.exists() and str(source) in NAMES
    return f"./{source}" if folder else str(source)


def _size(image_size: Any) -> int | None:
    """A size as Python's number. Raises `UsageError` for what is not a valid size."""
    size: int | None = _whole("image_size", image_size)
    if size is not None and not 1 <= size <= LARGEST:
        limit = "at least 1" if size < 1 else f"at most {LARGEST:,}"
        raise UsageError(f"image_size must be {limit}, not {size:,}")
    return size


def _whole(key: str, value: Any) -> Any:
    """A whole number, also numpy's, as Python's; None stays None. Raises `UsageError` for anything else."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, Integral):
        raise UsageError(f"{key} must be a whole number, not {value!r:.80}")
    return int(value)


def _check_named(name: str, split: str, image_size: int | None, shots: int | None) -> None:
    """Raises `DataError` where a set would not fit into the memory; glyphs are drawn before few are taken."""
    train, test, (depth, *_) = SIZES[name]
    count = test if split == "test" else train
    if name != "glyphs" and shots is not None:
        count = min(count, shots)
    files.check_memory(name, count * depth * (image_size or 0) ** 2, image_size)


def _placed(
    place: str | Path,
    split: str,
    image_size: int | None,
    data_seed: int,
    *,
    root: str | Path | None,
    by_path: bool,
) -> ImageData:
    """The images of a data name, or of a place that is spelled out. Raises `DataError` for neither."""
    if place in NAMES:  # a path never equals a text
        return _named(str(place), split, image_size, data_seed, root)
    if os.path.exists(place):
        return files.load(Path(place), split, image_size, by_path=by_path)
    if str(place) in NAMES:
        return _placed(str(place), split, image_size, data_seed, root=root, by_path=by_path)
    if os.path.dirname(place):  # a path
        raise DataError(
            f"the folder or zip {str(place)!r} does not exist; data names are: {', '.join(NAMES)}"
        )
    raise DataError(unknown("data", place, NAMES, hint="nor is there a folder or a zip of that name"))


def _named(
    name: str, split: str, image_size: int | None, data_seed: int, root: str | Path | None
) -> ImageData:
    if name == "glyphs":
        drawn = data_seed if split == "train" else 0  # what is held out is the same for every seed
        return glyphs.load(split, seed=drawn, image_size=image_size or 28)
    if name == "digits":
        return builtin.digits(split)
    if name == "stacked-mnist":
        return builtin.stacked_mnist(split, _root(root))
    return builtin.torchvision_set(name, split, _root(root))


def _chosen(source: str | Path) -> tuple[str | Path, str | None]:
    """`"mnist:0-4"` as `("mnist", "0-4")`; None for what names no classes. Either may have a colon itself."""
    text = str(source)
    ends = [] if os.path.exists(source) else [at for at, letter in enumerate(text) if letter == ":"]
    for at in reversed(ends):
        if text[:at] in NAMES or (at and os.path.exists(text[:at])):
            return text[:at], text[at + 1 :]
    return source, None


def _root(root: str | Path | None) -> Path:
    chosen = root or os.environ.get("GANTL_ZOO_DATA") or Path.home() / ".cache" / "gantl_zoo" / "data"
    return Path(os.path.expanduser(chosen))
