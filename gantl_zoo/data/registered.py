"""Named data sets: what a registered function must do, and how it is called.

A data set is a function that returns one split of its images:

    @gz.datasets.register("my-set")
    def my_set(split: str, *, root: Path) -> gz.ImageData:
        return gz.ImageData(pixels, labels, ("cat", "dog"))  # uint8 (N, C, H, W), labels (N,) or None

A package registers it as an entry point in the group `gantl_zoo.datasets`. `split` is "train" or "test"; the
images of "test" are held out and never trained on. The function is called with those of these keyword
arguments that are in its signature:

- `root`: the folder for downloads (`--data-root`, else `GANTL_ZOO_DATA`, else the user's cache), a `Path`;
- `image_size`: the requested size, or None; for data sets that can be drawn or decoded at any size;
- `fit`: "crop" or "pad", how to make images square at that size;
- `data_seed`: the seed of a random data set.

`load` then selects classes (`my-set:cat`) and `shots`, resizes, and converts channels. So a function returns
its images at their own size, all equally large. The decorator `@sized(train, test, shape)` declares the
number of images and their shape, so that runs can estimate memory before they read anything. Raise
`DataError` if the data can't be read or downloaded: say what is missing, and what to do.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from gantl_zoo.data.images import ImageData
from gantl_zoo.errors import PluginError
from gantl_zoo.registry.builtins import datasets
from gantl_zoo.registry.imports import errors_of

Function = TypeVar("Function", bound=Callable[..., ImageData])


class Sizes(NamedTuple):
    """The number of images in each split, and their shape (C, H, W)."""

    train: int
    test: int
    shape: tuple[int, int, int]


def sized(train: int, test: int, shape: tuple[int, int, int]) -> Callable[[Function], Function]:
    """Declare how many images a data set has in each split, and their shape (C, H, W)."""

    def declare(function: Function) -> Function:
        function.sizes = Sizes(train, test, shape)  # type: ignore[attr-defined]
        return function

    return declare


def sizes_of(name: str) -> Sizes | None:
    """The declared sizes of a data set; None if it declares none."""
    sizes = getattr(datasets.load(name), "sizes", None)
    return sizes if isinstance(sizes, Sizes) else None


def takes(function: Callable[..., Any], argument: str) -> bool:
    """Whether a function accepts this keyword argument."""
    parameters = inspect.signature(function).parameters
    return argument in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def read(name: str, split: str, *, root: str | Path | None, **wishes: Any) -> ImageData:
    """Read one split of the data set `name`. Its function is called with those `wishes` that it accepts.

    Raises `DataError` as the function does, and `PluginError` for any other error of a plug-in's function.
    """
    entry = datasets.info(name)
    function = entry.load()
    what = f"{entry.owner}'s data set {entry.name!r}"
    if not callable(function):
        raise PluginError(f"{what} is a {type(function).__name__}, not a function")
    wishes["root"] = root_of(root)
    with errors_of(entry.owner, entry.version, f"data set {entry.name!r} can't be read"):
        images = function(split, **{key: value for key, value in wishes.items() if takes(function, key)})
    if not isinstance(images, ImageData):
        raise PluginError(f"{what} returns a {type(images).__name__}, not gz.ImageData")
    same = (images.name, images.split) == (entry.name, split)
    return images if same else replace(images, name=entry.name, split=split)


def root_of(root: str | Path | None) -> Path:
    """The folder for downloaded data sets: `root`, else `GANTL_ZOO_DATA`, else the user's cache."""
    chosen = root or os.environ.get("GANTL_ZOO_DATA") or Path.home() / ".cache" / "gantl_zoo" / "data"
    return Path(os.path.expanduser(chosen))
