"""`Images`: generated images as a sequence of pictures that save, show and draw themselves.

They are stored as an array, so that images without a tensor need no torch.
"""

from __future__ import annotations

import io
import math
import operator
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, SupportsIndex, overload

import numpy as np

from gantl_zoo.errors import UsageError
from gantl_zoo.pixels import Array, to_float_array, to_uint8_array
from gantl_zoo.viz.sheet import save_picture, sheet

if TYPE_CHECKING:
    from PIL.Image import Image
    from torch import Tensor

PREVIEW = 64  # images that a notebook shows at once
PREVIEW_SIDE = 1024  # pixels of that picture's longer side, at most
LARGEST_TILE = 224  # pixels to which a small image is enlarged there
CHANNELS = (1, 3, 4)  # grey, RGB, RGBA


class Images(Sequence["Image"]):
    """A sequence of PIL images with the tensor that they come from.

    `Images(tensor)` takes a tensor or an array (N, C, H, W), floats in [-1, 1] or uint8, with 1, 3 or 4
    channels. `seeds` and
    `labels` hold one number for each image, or are None if the images have none. A slice and a sum are
    `Images`, too. Raises `UsageError` for any other tensor.
    """

    def __init__(
        self,
        tensor: Tensor | Array,
        *,
        seeds: Iterable[int] | None = None,
        labels: Iterable[int] | None = None,
    ) -> None:
        self._array = _checked(tensor)
        self._seeds = _numbers("seeds", seeds, len(self._array))
        self._labels = _numbers("labels", labels, len(self._array))

    @property
    def tensor(self) -> Tensor:
        """The images (N, C, H, W), float32 in [-1, 1], on the CPU. It shares the memory of `array`."""
        import torch

        return torch.from_numpy(self._array)

    @property
    def array(self) -> Array:
        """The images (N, C, H, W), float32 in [-1, 1]."""
        return self._array

    @property
    def seeds(self) -> tuple[int, ...] | None:
        """The seed of each image, or None."""
        return self._seeds

    @property
    def labels(self) -> tuple[int, ...] | None:
        """The class number of each image, or None."""
        return self._labels

    def __len__(self) -> int:
        return len(self._array)

    @overload
    def __getitem__(self, index: SupportsIndex) -> Image: ...
    @overload
    def __getitem__(self, index: slice) -> Images: ...
    def __getitem__(self, index: SupportsIndex | slice) -> Image | Images:
        if isinstance(index, slice):
            numbers = range(len(self))[index]
            seeds, labels = (values and values[index] for values in (self._seeds, self._labels))
            return Images(self._array[list(numbers)], seeds=seeds, labels=labels)
        number = range(len(self))[operator.index(index)]  # raises IndexError, which ends iteration
        return sheet(to_uint8_array(self._array[number : number + 1]), scale=1)

    def __add__(self, other: Images) -> Images:
        if not isinstance(other, Images):
            return NotImplemented
        if self._array.shape[1:] != other._array.shape[1:]:
            raise UsageError(
                f"images of different shapes can't be joined: {_shape(self)} and {_shape(other)}"
            )
        pairs = ((self._seeds, other._seeds), (self._labels, other._labels))
        seeds, labels = (None if a is None or b is None else a + b for a, b in pairs)
        return Images(np.concatenate([self._array, other._array]), seeds=seeds, labels=labels)

    def grid(self, columns: int | None = None, *, gap: int = 0, scale: int | None = None) -> Image:
        """All images in one picture, row by row; as many columns as rows unless `columns` is given.

        `gap` is the distance of two images in pixels. `scale` is a whole factor by which images are enlarged;
        None enlarges small ones only. Raises `UsageError` if there are no images.
        """
        if not len(self):
            raise UsageError("there are no images to draw")
        for name, value, least in (("columns", columns, 1), ("gap", gap, 0), ("scale", scale, 1)):
            if value is not None and (type(value) is not int or value < least):
                raise UsageError(f"{name} must be a whole number of at least {least}, not {value!r}")
        return sheet(to_uint8_array(self._array), columns, gap=gap, scale=scale)

    def save(
        self, path: str | Path, columns: int | None = None, *, gap: int = 0, scale: int | None = None
    ) -> Path:
        """Write all images as one picture, see `grid`; returns its path. The suffix chooses the format.

        Missing parent folders are created. Raises `DataError` if the file can't be written.
        """
        return save_picture(self.grid(columns, gap=gap, scale=scale), path)

    def save_each(self, folder: str | Path, *, scale: int | None = 1) -> list[Path]:
        """Write a PNG for each image into `folder`, such as `seed0007.png`; returns their paths.

        Without seeds the name is the image's number. If a seed occurs more than once, the class is added to
        the name. `scale` is a factor by which images are enlarged; None enlarges small ones only. Raises
        `DataError` if a file can't be written.
        """
        names = file_names(len(self), self._seeds, self._labels)
        paths = [Path(folder) / f"{name}.png" for name in names]
        return [save_picture(self[i : i + 1].grid(scale=scale), path) for i, path in enumerate(paths)]

    def show(self) -> None:
        """Display the images in a notebook, else in the system's image viewer.

        Raises `UsageError` if there is no viewer.
        """
        from PIL import ImageShow

        shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
        if shell is not None and hasattr(shell, "kernel"):
            sys.modules["IPython"].display.display(self)
        elif not ImageShow.show(self.grid(), title=repr(self)):
            raise UsageError("this system has no image viewer; write a file with save(path)")

    def __repr__(self) -> str:
        seeds = f", seeds {_range(self._seeds)}" if self._seeds else ""
        labels = f", classes {_range(sorted(set(self._labels)))}" if self._labels else ""
        return f"Images({len(self)} of {_shape(self)}{seeds}{labels})"

    def _repr_png_(self) -> bytes | None:
        return self.preview()

    def preview(self, columns: int | None = None) -> bytes | None:
        """The PNG that a notebook shows: the first images, enlarged if they are small. None if there are no
        images.
        """
        if not len(self):
            return None
        side = max(self._array.shape[2:])
        shown = self[: min(PREVIEW, max(1, 2 * PREVIEW_SIDE // side) ** 2)]
        columns = columns or math.ceil(math.sqrt(len(shown)))
        scale = min(PREVIEW_SIDE // 2 // (columns * side), LARGEST_TILE // side)
        picture = shown.grid(columns, gap=2, scale=max(1, scale))
        if max(picture.size) > PREVIEW_SIDE:
            picture.thumbnail((PREVIEW_SIDE, PREVIEW_SIDE))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        return buffer.getvalue()


def file_names(count: int, seeds: Sequence[int] | None, labels: Sequence[int] | None) -> list[str]:
    """A name without suffix for each of `count` images: by seed, by seed and class, or by number."""
    names = [f"seed{seed:04d}" for seed in seeds or ()]
    if labels is not None and len(set(names)) < len(names):
        names = [f"{name}-class{label}" for name, label in zip(names, labels, strict=True)]
    if not names or len(set(names)) < len(names):
        names = [f"image{number:04d}" for number in range(count)]
    return names


def _checked(tensor: Any) -> Array:
    """Images (N, C, H, W) as an array of float32 in [-1, 1]. Raises `UsageError`."""
    shape = tuple(getattr(tensor, "shape", ()))
    is_array = isinstance(tensor, np.ndarray)
    if not (is_array or hasattr(tensor, "detach")) or len(shape) != 4 or shape[1] not in CHANNELS:
        what = f"a tensor {shape}" if shape else f"a {type(tensor).__name__}"
        raise UsageError(f"Images takes a tensor (N, C, H, W) of 1, 3 or 4 channels, not {what}")
    floats = np.issubdtype(tensor.dtype, np.floating) if is_array else tensor.is_floating_point()
    stored = str(tensor.dtype).removeprefix("torch.")
    if not floats and stored != "uint8":
        raise UsageError(f"Images takes floats in [-1, 1] or uint8, not {tensor.dtype}")
    if not is_array:
        tensor = tensor.detach().cpu()
        tensor = (tensor.float() if floats else tensor).numpy()  # NumPy has no bfloat16
    return to_float_array(tensor) if stored == "uint8" else np.asarray(tensor, np.float32)


def _numbers(name: str, values: Iterable[int] | None, count: int) -> tuple[int, ...] | None:
    numbers = None if values is None else tuple(int(value) for value in values)
    if numbers is not None and len(numbers) != count:
        raise UsageError(f"{count} images need as many {name}, not {len(numbers)}")
    return numbers


def _shape(images: Images) -> str:
    return "×".join(map(str, images.array.shape[1:]))


def _range(numbers: Sequence[int]) -> str:
    """`0–15` for numbers in a row, else the first few of them."""
    if len(numbers) > 1 and list(numbers) == list(range(numbers[0], numbers[-1] + 1)):
        return f"{numbers[0]}–{numbers[-1]}"
    return ", ".join(map(str, numbers[:8])) + (", …" if len(numbers) > 8 else "")
