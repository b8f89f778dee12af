"""`ImageData`: uint8 images of one size, in memory or streamed.

N images, C channels, H height, W width.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import cast

import torch
from torch import Tensor

from gantl_zoo.data import split as splitting
from gantl_zoo.data.fit import CROP, square_tensor
from gantl_zoo.data.stream import Stream
from gantl_zoo.data.treatment import Treatment
from gantl_zoo.errors import DataError, closest, suggestion


@dataclass(frozen=True)
class ImageData:
    """Images (N, C, H, W) uint8, labels (N,) int64 or None, and where they come from.

    `images` may be a `Stream` in place of a tensor if they don't fit into memory. `ids` (N,) int64 identify
    images by the content of their files, wherever these are; None for images that don't come from files.
    `treatment` records the original sizes; None for images that were not changed. `origin` is an address that
    leads to the same images on any machine, if there is one.
    """

    images: Tensor
    labels: Tensor | None = None
    classes: tuple[str, ...] = ()
    name: str = "data"
    split: str = "train"
    ids: Tensor | None = None
    treatment: Treatment | None = None
    origin: str = ""

    def __post_init__(self) -> None:
        """Raise `DataError` for tensors of other types or shapes."""
        images, labels = self.images, self.labels
        if isinstance(images, Stream):
            pass
        elif not isinstance(images, Tensor) or images.dtype != torch.uint8 or images.ndim != 4:
            kind = f"{images.dtype} {tuple(images.shape)}" if isinstance(images, Tensor) else type(images)
            raise DataError(
                f"{self.name}: images must be a uint8 tensor (N, C, H, W) with values 0 to 255, not {kind}; "
                "gantl_zoo.data.to_uint8 converts floats in [-1, 1]"
            )
        if labels is not None and not (isinstance(labels, Tensor) and labels.shape == (len(images),)):
            raise DataError(
                f"{self.name}: labels must be a tensor (N,), one for each of {len(images)} images"
            )
        if self.ids is not None and self.ids.shape != (len(images),):
            raise DataError(f"{self.name}: ids must be a tensor (N,), one for each of {len(images)} images")

    def __len__(self) -> int:
        return len(self.images)

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        channels, height, width = self.images.shape[1:]
        return channels, height, width

    @property
    def changes(self) -> str:
        """What was cropped, padded, flattened on white or enlarged, with counts; "" if nothing was."""
        return "" if self.treatment is None else self.treatment.changes(*self.shape[1:])

    @cached_property
    def fingerprint(self) -> str:
        """16 hex digits of the SHA-256 of shape, pixels and labels; the name does not count."""
        digest = hashlib.sha256(repr(tuple(self.images.shape)).encode())
        if isinstance(self.images, Stream):
            digest.update(self.images.digest())
        else:
            digest.update(self.images.contiguous().numpy().data)
        if self.labels is not None:
            digest.update(self.labels.numpy().data)
        return digest.hexdigest()[:16]

    def about(self) -> dict[str, object]:
        """The data's entry in the lineage; `trained_on` is the sketch that `overlap` compares with."""
        optional: dict[str, object] = {} if self.ids is None else {"trained_on": self.sketch()}
        optional |= {} if self.treatment is None else {"fit": self.treatment.fit}
        optional |= {"origin": self.origin} if self.origin else {}
        return {
            "name": self.name,
            "split": self.split,
            "images": len(self),
            "shape": list(self.shape),
            "fingerprint": self.fingerprint,
            **optional,
        }

    def sketch(self) -> str:
        """The 1,000 lowest ids, or fewer, in base64; "" if the ids are unknown."""
        return "" if self.ids is None else splitting.sketch(self.ids)

    def check_square(self) -> None:
        """Raise `DataError` if the images are not square, as most networks need them."""
        _, height, width = self.shape
        if height != width:
            raise DataError(
                f"{self.name}: images are {width}×{height}: choose a square size with --image-size"
            )

    def select(self, index: Tensor) -> ImageData:
        """The images at `index`, in that order; a stream stays a stream unless they fit into memory."""
        images = self.images.select(index) if isinstance(self.images, Stream) else self.images[index]
        labels = None if self.labels is None else self.labels[index]
        ids = None if self.ids is None else self.ids[index]
        treatment = None if self.treatment is None else self.treatment.select(index)
        return replace(self, images=images, labels=labels, ids=ids, treatment=treatment)

    def of_classes(self, names: str) -> ImageData:
        """The images of the `names` classes, renumbered in that order.

        Classes are numbers, ranges or names, separated by commas, such as "0-4" or "7,9". A name may contain
        commas itself. Raises `DataError` for classes that the data does not have.
        """
        if self.labels is None:
            raise DataError(f"{self.name} has no classes, so {names!r} can't be selected")
        chosen = [label for part in self._parted(names) for label in self._numbers(part.strip())]
        if len(set(chosen)) < len(chosen):
            raise DataError(f"{self.name}: {names!r} names a class twice")
        place = torch.full((len(self.classes),), -1)
        place[chosen] = torch.arange(len(chosen))
        labels = place[self.labels]
        index = (labels >= 0).nonzero().squeeze(1)
        classes = tuple(self.classes[label] for label in chosen)
        name = f"{self.name}-{names.replace(',', '-')}"
        return replace(self.select(index), labels=labels[index], classes=classes, name=name)

    def _parted(self, names: str) -> list[str]:
        """Split `names` at its commas, but not inside a class name: the longest name that fits wins."""
        pieces, parts = names.split(","), []
        while pieces:
            ends = range(len(pieces), 0, -1)
            end = next((end for end in ends if ",".join(pieces[:end]).strip() in self.classes), 1)
            parts.append(",".join(pieces[:end]))
            pieces = pieces[end:]
        return parts

    def _numbers(self, part: str) -> list[int]:
        """The numbers of the classes that one part of `names` selects. Raises `DataError`."""
        if part in self.classes:
            return [self.classes.index(part)]
        first, dash, last = part.partition("-")
        if {first, last} <= set(self.classes):  # names come first: they may be other numbers
            return self._between(first, last)
        if first.isdecimal() and (last.isdecimal() if dash else True):
            numbers = list(range(int(first), int(last or first) + 1))
            if numbers and numbers[-1] < len(self.classes):
                return numbers
        shown = ", ".join(self.classes[:12]) + (", …" if len(self.classes) > 12 else "")
        listed = f"it has 0 to {len(self.classes) - 1}: {shown}"
        near = [] if first.isdecimal() else closest(part, self.classes)
        hint = suggestion(part, near) if near else f"; {listed}"
        raise DataError(f"{self.name} has no class {part!r}{hint}")

    def _between(self, first: str, last: str) -> list[int]:
        """The numbers of the classes from one name to another, in numeric order if both are numbers."""
        if first.isdecimal() and last.isdecimal():
            by_value = {int(name): label for label, name in enumerate(self.classes) if name.isdecimal()}
            numbers = [by_value[n] for n in sorted(by_value) if int(first) <= n <= int(last)]
        else:
            numbers = list(range(self.classes.index(first), self.classes.index(last) + 1))
        if not numbers:
            raise DataError(f"{self.name}: the range {first}-{last} runs backwards; write {last}-{first}")
        return numbers

    def few(self, shots: int, seed: int = 0) -> ImageData:
        """A random subset of `shots` images that depends on `seed` only. Raises `DataError`."""
        if not 0 < shots <= len(self):
            raise DataError(
                f"--shots {shots}: {self.name} has {len(self)} {self.split} images, not counting those held "
                "out; leave out --shots to use all"
            )
        order = torch.randperm(len(self), generator=torch.Generator().manual_seed(int(seed)))
        return self.select(order[:shots])

    def fit(self, image_size: int | None, channels: int | None, how: str = CROP) -> ImageData:
        """Resize to squares of `image_size`, cropped or padded (`how`), and convert to `channels` channels.

        Grey becomes RGB by repetition; RGB becomes grey by luma (ITU-R BT.601), rounded. Raises `DataError`
        for other numbers of channels.
        """
        images, treatment = self.images, self.treatment
        if channels is not None and channels != images.shape[1]:
            images = _recolour(images, channels, self.name)
        if image_size is not None and images.shape[2:] != (image_size, image_size):
            height, width = images.shape[2:]
            treatment = treatment or Treatment.alike(len(images), width, height, how)
            treatment = treatment if height == width else replace(treatment, fit=how)
            images = _resize(images, image_size, how)
        return replace(self, images=images, treatment=treatment)


def overlap(sketched: str, data: ImageData) -> int:
    """The number of images of `data` in a sketch; 0 if ids are unknown or the sketch is not valid."""
    return 0 if data.ids is None else splitting.overlap(sketched, data.ids)


def _recolour(images: Tensor, channels: int, name: str) -> Tensor:
    if isinstance(images, Stream):
        shape = (channels, *images.image_shape[1:])
        return cast(Tensor, images.changed(shape, partial(_recolour, channels=channels, name=name)))
    if images.shape[1] == 1 and channels == 3:
        return images.expand(-1, 3, -1, -1).contiguous()
    if images.shape[1] == 3 and channels == 1:
        luma = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
        parts = [(part.float() * luma).sum(1, keepdim=True) for part in torch.split(images, 4096)]
        return torch.cat([part.round().to(torch.uint8) for part in parts])
    raise DataError(f"{name}: images with {images.shape[1]} channels can't become {channels}; use 1 or 3")


def _resize(images: Tensor, size: int, how: str) -> Tensor:
    if isinstance(images, Stream):
        convert = partial(_resize, size=size, how=how)
        return cast(Tensor, images.changed((images.shape[1], size, size), convert))
    return square_tensor(images, size, how)
