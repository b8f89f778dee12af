"""Read a source once for `check_data`: what each image looks like, and how the files are organised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from gantl_zoo import console
from gantl_zoo.data import decoding, files, names as naming, sources
from gantl_zoo.data.images import ImageData
from gantl_zoo.data.layout import Layout, layout
from gantl_zoo.data.look import Look, looks_of_files, looks_of_images
from gantl_zoo.data.split import HELD_OUT, hashes, held_out
from gantl_zoo.errors import DataError


@dataclass
class Gathered:
    """The contents of a source: lists with one entry per image, and facts about the whole."""

    names: list[str] = field(default_factory=list)
    looks: list[Look] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)  # equal for equal content
    held_out: list[bool] = field(default_factory=list)
    classes: Counter[str] = field(default_factory=Counter)
    split: str = ""
    damaged: dict[str, str] = field(default_factory=dict)
    kinds: Counter[str] = field(default_factory=Counter)
    left_out: dict[str, int] = field(default_factory=dict)
    others: dict[str, int] = field(default_factory=dict)
    junk: int = 0
    warnings: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    memory: tuple[ImageData, ...] = ()

    def add(self, name: str, look: Look, key: bytes, held_out: bool) -> None:
        """Add an image."""
        self.names.append(name)
        self.looks.append(look)
        self.keys.append(key)
        self.held_out.append(held_out)


def splits_of(name: Any, root: str | Path | None) -> tuple[ImageData, ...]:
    """Both splits of a named data set."""
    return tuple(sources.load(name, split=split, root=root) for split in sources.SPLITS)


def of_images(parts: tuple[ImageData, ...]) -> Gathered:
    """The contents of images in memory; the first part is the training split."""
    gathered = Gathered(memory=parts, split="by the data set" if len(parts) > 1 else "none: given in memory")
    for part in parts:
        for number, (key, look) in enumerate(looks_of_images(part)):
            gathered.add(f"{part.split} {number}", look, key, part is not parts[0])
        if part.labels is not None:
            counts = torch.bincount(part.labels, minlength=len(part.classes)).tolist()
            gathered.classes.update(dict(zip(part.classes, counts, strict=False)))
    return gathered


def of_files(source: Path, progress: Callable[[int, int], None]) -> Gathered:
    """The contents of a folder or a zip. Raises `DataError` if it has no readable image."""
    listed = naming.listing(source, junk=True)
    if not listed.images:
        naming.image_files(source)  # raises
    gathered = Gathered(left_out=dict(listed.unreadable), others=dict(listed.others), junk=listed.junk)
    laid_out = layout_of(source, listed, gathered)
    hashed = hashes(source, list(listed.images))
    test = held_out_of(laid_out, hashed, gathered)
    for name, look in looks_of_files(source, list(listed.images), progress):
        if isinstance(look, Exception):
            gathered.damaged[name] = str(look) or type(look).__name__
            continue
        gathered.add(name, look, hashed[name], name in test)
        gathered.kinds[PurePosixPath(name).suffix.lower()] += 1
        gathered.classes.update([laid_out.labels[name]] if laid_out.labels else [])
    if not gathered.looks:
        name, why = next(iter(gathered.damaged.items()))
        raise DataError(f"{source}: none of {len(listed.images)} images can be read, such as {name} ({why})")
    if len(gathered.damaged) > max(1, decoding.CORRUPT_LIMIT * len(listed.images)):
        gathered.problems.append(
            f"more than {decoding.CORRUPT_LIMIT:.0%} of the images are damaged: replace them"
        )
    return gathered


def layout_of(source: Path, listed: naming.Listing, gathered: Gathered) -> Layout:
    """The layout of the files; without splits and classes if training would reject it (see `problems`)."""
    with console.collected() as texts:
        try:
            laid_out = layout(source, listed.images, listed.tables, files.reader(source))
        except DataError as error:
            gathered.problems.append(str(error))
            laid_out = Layout(listed.images, {}, {}, ())
    gathered.warnings += texts
    return laid_out


def held_out_of(laid_out: Layout, hashed: dict[str, bytes], gathered: Gathered) -> set[str]:
    """The names of the held-out images. Records in `gathered` how they are chosen, and unused images."""
    if laid_out.splits:
        test = set(laid_out.part("test"))
        gathered.split = "by the folders " + " and ".join(sorted(set(laid_out.splits.values())))
        if unused := len(laid_out.paths) - len(test) - len(laid_out.part("train")):
            gathered.warnings.append(
                f"{unused} images are in neither the training nor the test folder, so they are not used"
            )
        return test
    gathered.split = (
        "by their content" if len(laid_out.paths) >= HELD_OUT else f"fewer than {HELD_OUT} images"
    )
    return held_out(laid_out.paths, hashed)
