"""`DataSpec`: which images are used. `RunData`: these images, read once.

Importing this module imports no torch: the command line reads the fields of `DataSpec`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gantl_zoo.errors import DataError

if TYPE_CHECKING:
    from gantl_zoo.data import ImageData

OLD_SPLIT = "path"  # the `split_by` of earlier versions, whose config.json does not contain it


@dataclass(frozen=True, kw_only=True)
class DataSpec:
    """Which images are used, and in what form. In Python the source may also be images in memory.

    `source`: name of a data set (mnist, glyphs, …); a folder, a zip or tar shards; or hf:USER/NAME[:SPLIT].
    `image_size`: height and width to which images are resized, in pixels.
    `channels`: number of channels to which images are converted: 1 (grey) or 3 (RGB).
    `root`: folder of the data sets that are downloaded by name.
    `shots`: number of training images that are used, a random subset of all.
    `data_seed`: seed of that subset.
    `fit`: how images that are not square become square: crop to the centre, or pad.
    `split_by`: how held-out images are chosen: by content, class or path, as in `gantl_zoo.data.load`.
    `place`: absolute path of a source on disk, or its commit, so that a run finds the same images again.
    `memory`: whether the images were given in memory.
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
    fit: str = "crop"

    @property
    def in_memory(self) -> bool:
        """Whether the images were given in memory, so that they can't be read again."""
        from gantl_zoo.data import ImageData

        return self.memory or isinstance(self.source, ImageData)

    @property
    def name(self) -> str:
        """The source as it is written on the command line."""
        from gantl_zoo.data import spoken

        return spoken(self.source)

    def load(self, split: str = "train") -> ImageData:
        """Read the images of a split; `shots` selects a subset of "train". Raises `DataError`."""
        from gantl_zoo.data import load

        return load(
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
        """JSON values for a run's config.json."""
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
        """The opposite of `to_config`, also for earlier versions, which have fewer keys."""
        early: dict[str, Any] = {"split_by": OLD_SPLIT, "memory": kept["fingerprint"] is None}
        return cls(**early | {k: v for k, v in kept.items() if k != "fingerprint"})


def place_of(source: str | Path | ImageData) -> str | None:
    """The address of an archive, such as a folder, from any working directory: its absolute path, say."""
    from gantl_zoo.data import ImageData, is_name
    from gantl_zoo.data.places import kind_of
    from gantl_zoo.data.sources import chosen

    if isinstance(source, ImageData) or is_name(source):
        return None
    place, classes = chosen(os.path.expanduser(source))  # "folder:classes" is a part of the folder
    if (kind := kind_of(place)) is None:
        return None
    return kind.address(str(place)) + ("" if classes is None else f":{classes}")


def fit_of(lineage: Mapping[str, Any]) -> str:
    """The `fit` of a model's training images, by its lineage. Earlier versions always cropped."""
    from gantl_zoo.data import CROP, FITS

    fit = lineage.get("data", {}).get("fit")
    return fit if fit in FITS else CROP


def note_on(images: ImageData) -> str:
    """A line for the log on how the images were changed; empty if they were not."""
    return f"data: {len(images):,} images of {images.name}: {images.changes}" if images.changes else ""


@dataclass(frozen=True)
class RunData:
    """The images of a run. `read` reads the training images; held-out images are read at first use."""

    spec: DataSpec
    whole: ImageData  # the training split
    train: ImageData  # the training images: the training split, or `shots` of it

    @classmethod
    def read(cls, spec: DataSpec) -> RunData:
        """Read the training images. Raises `DataError`."""
        whole = replace(spec, shots=None).load()
        return cls(spec, whole, whole if spec.shots is None else whole.few(spec.shots, spec.data_seed))

    @cached_property
    def held_out(self) -> ImageData:
        """The held-out images, with the size and channels of the training images. Raises `DataError`."""
        if self.spec.in_memory:
            raise DataError(
                f"{self.spec.name} was given in memory, so no images are held out; give a folder, or measure "
                "the model with evaluate"
            )
        channels, side, _ = self.train.shape
        return replace(self.spec, channels=channels, image_size=side).load("test")

    @property
    def fingerprint(self) -> str:
        """The fingerprint of the training images."""
        return self.train.fingerprint
