"""`DataSpec`: which images are used; `RunData`: these images, each read once."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from gantl_zoo import data as data_room
from gantl_zoo.data import CROP, FITS, ImageData
from gantl_zoo.errors import DataError

OLD_SPLIT = "path"  # how runs held images out before they wrote it down


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which images are used, and in what form.

    `source` is a data name, a folder, a zip, or images in memory. `image_size` (pixels) and `channels` (1 or
    3) convert the images; `root` is the folder of torchvision's data sets; `shots` takes a subset of the
    training images by `data_seed`. `split_by` is "content" or "path", `fit` "crop" or
    "pad", as in `gantl_zoo.data.load`. `place` is
    the absolute path of a source on disk, by which a run finds its images from another working directory;
    `memory` marks images that were given in memory.
    """

    source: str | Path | ImageData
    image_size: int | None = None
    channels: int | None = None
    root: str | Path | None = None
    shots: int | None = None
    data_seed: int = 0
    split_by: str = "content"
    place: str | None = None
    memory: bool = False
    fit: str = CROP

    @property
    def in_memory(self) -> bool:
        """Whether the images were given as such, so that no file has them."""
        return self.memory or isinstance(self.source, ImageData)

    @property
    def name(self) -> str:
        """The source as on the command line."""
        return data_room.spoken(self.source)

    def load(self, split: str = "train") -> ImageData:
        """The images of "train", of which `shots` takes a subset, or all of "test". Raises `DataError`."""
        return data_room.load(
            self.source,
            split=split,
            image_size=self.image_size,
            channels=self.channels,
            shots=self.shots if split == "train" else None,
            data_seed=self.data_seed,
            root=self.root,
            split_by=self.split_by,
            fit=self.fit,
        )

    def to_config(self) -> dict[str, Any]:
        """As a run's config.json keeps it."""
        return {
            "source": self.name,
            "place": self.place or place_of(self.source),
            "image_size": self.image_size,
            "channels": self.channels,
            "root": None if self.root is None else str(self.root),
            "shots": self.shots,
            "data_seed": self.data_seed,
            "split_by": self.split_by,
            "memory": self.in_memory,
            "fit": self.fit,
        }

    @classmethod
    def from_config(cls, kept: Mapping[str, Any]) -> DataSpec:
        """The opposite of `to_config`; earlier versions kept less, and no fingerprint of images in memory."""
        early: dict[str, Any] = {"split_by": OLD_SPLIT, "memory": kept["fingerprint"] is None}
        return cls(**early | {k: v for k, v in kept.items() if k != "fingerprint"})


def place_of(source: str | Path | ImageData) -> str | None:
    """The absolute path of a source that is a folder or a zip on disk."""
    if isinstance(source, ImageData):
        return None
    if data_room.is_name(source):
        return None
    expanded = os.path.expanduser(source)
    folder, colon, classes = expanded.rpartition(":")
    if not os.path.exists(expanded) and os.path.exists(folder):  # some classes of it
        return os.path.abspath(folder) + colon + classes
    return os.path.abspath(expanded) if os.path.exists(expanded) else None


def fit_of(lineage: Mapping[str, Any]) -> str:
    """How a model's training images were made square; earlier versions always cropped them."""
    fit = lineage.get("data", {}).get("fit")
    return fit if fit in FITS else CROP


def note_on(images: ImageData) -> str:
    """One line for a run's log that says how its images were changed; "" if they were not."""
    return f"data: {len(images):,} images of {images.name}: {images.changes}" if images.changes else ""


@dataclass(frozen=True)
class RunData:
    """The images of a run. Those for training are read when this is made, the held-out ones at first use."""

    spec: DataSpec
    whole: ImageData  # the training split
    train: ImageData  # what is trained on: the training split or a few of it

    @classmethod
    def read(cls, spec: DataSpec) -> RunData:
        """Read the training images. Raises `DataError`."""
        whole = replace(spec, shots=None).load()
        return cls(spec, whole, whole if spec.shots is None else whole.few(spec.shots, spec.data_seed))

    @cached_property
    def held_out(self) -> ImageData:
        """The images that nobody trains on, in the form of the training images. Raises `DataError`."""
        if self.spec.in_memory:
            raise DataError(
                f"{self.spec.name} was given in memory, where no image is held out; name a folder, or "
                "measure the model with evaluate"
            )
        channels, side, _ = self.train.shape
        return replace(self.spec, channels=channels, image_size=side).load("test")

    @property
    def fingerprint(self) -> str:
        """Of the training images."""
        return self.train.fingerprint
