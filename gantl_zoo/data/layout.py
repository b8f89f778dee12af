"""Interpret the folders of a source as splits, as classes, or as neither."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from gantl_zoo.console import warn
from gantl_zoo.data.labels import labels_of, sharded
from gantl_zoo.data.split import shared_folders
from gantl_zoo.errors import DataError

TRAIN = ("train", "training")
# the first of these that exists holds the test split
TESTS = ("test", "testing", "val", "valid", "validation", "dev", "eval")


@dataclass(frozen=True)
class Layout:
    """The paths of a source's images below the folder that all share, their splits and their classes.

    `splits` is `{name: folder}`, in lower case, or empty if folders are not splits. `labels` is
    `{name: class}`, or empty if images have no classes.
    """

    paths: dict[str, str]
    splits: dict[str, str]
    labels: dict[str, str]
    classes: tuple[str, ...]

    def part(self, split: str) -> list[str]:
        """The names in one split, if folders are splits."""
        kinds = set(self.splits.values())
        chosen = next(kind for kind in (TESTS if split == "test" else TRAIN) if kind in kinds)
        return [name for name, kind in self.splits.items() if kind == chosen]


def layout(
    source: Path, images: dict[str, str], tables: dict[str, str], read: Callable[[str], bytes]
) -> Layout:
    """Determine splits and classes from the images' paths and the tables. Raises `DataError`."""
    top, paths = below_shared(images)
    splits = splits_of(source, paths)
    if chosen := _above(tables, top, bool(splits)):
        labels = labels_of(source, {path: tables[path] for path in chosen}, images, read)
        return Layout(paths, splits, labels, tuple(sorted(set(labels.values()), key=int)))
    if tables:
        warn(f"{source}: {min(tables)} is neither beside nor above all images, so it is not used")
    within = _below_splits(paths)
    classes = {name: PurePosixPath(path).parent.as_posix() for name, path in within.items()}
    if len(set(classes.values())) < 2 or sharded(list(within.values())):
        return Layout(paths, splits, {}, ())
    if loose := sum(name == "." for name in classes.values()):
        warn(
            f"{source}: {loose} images beside the class folders become a class of their own, '.'; move them "
            "into a folder, or out of the data"
        )
    names = tuple(sorted(set(classes.values())))
    if mixed := [name for name in names if "/" in name and {*name.lower().split("/")} & {*TRAIN, *TESTS}]:
        raise DataError(
            f"{source}: the classes {', '.join(mixed[:3])} are named after splits, so test images would be "
            "trained on: put folders train and test above the class folders, and nothing beside them"
        )
    return Layout(paths, splits, classes, names)


def below_shared(images: dict[str, str]) -> tuple[PurePosixPath, dict[str, str]]:
    """The innermost folder that holds all images, such as a zip's top folder, and their paths in it."""
    folders = [PurePosixPath(path).parent.parts for path in images.values()]
    top = PurePosixPath(*folders[0][: shared_folders(folders)])
    return top, {name: PurePosixPath(path).relative_to(top).as_posix() for name, path in images.items()}


def splits_of(source: Path, paths: dict[str, str]) -> dict[str, str]:
    """The top folder of each image if these are splits, one for training and one for testing; else empty.

    Raises `DataError` if there are images beside the splits.
    """
    tops = {name: PurePosixPath(path).parts[0].lower() for name, path in paths.items()}
    kinds = set(tops.values())
    if kinds.isdisjoint(TRAIN) or kinds.isdisjoint(TESTS):
        return {}
    if beside := sorted(kinds - {*TRAIN, *TESTS}):
        raise DataError(
            f"{source} has a training and a test folder, and beside them {', '.join(beside[:4])}: keep "
            "images in these two only, or rename them"
        )
    return tops


def _below_splits(paths: dict[str, str]) -> dict[str, str]:
    """The paths without their split folders, if every image in a folder is in a split folder."""
    parts = {name: PurePosixPath(path).parts for name, path in paths.items()}
    if {part[0].lower() for part in parts.values() if len(part) > 1} <= {*TRAIN, *TESTS}:
        parts = {name: part[1:] if len(part) > 1 else part for name, part in parts.items()}
    return {name: PurePosixPath(*part).as_posix() for name, part in parts.items()}


def _above(tables: dict[str, str], top: PurePosixPath, split: bool) -> list[str]:
    """The `dataset.json` files that apply: the nearest one above all images, or one per split folder."""
    places = {PurePosixPath(table).parent: table for table in tables}
    if nearest := next((places[place] for place in (top, *top.parents) if place in places), ""):
        return [nearest]
    inner = {place.relative_to(top) for place in places if place.is_relative_to(top)}
    if split and inner and all(len(place.parts) == 1 for place in inner):
        return [places[top / place] for place in inner if place.name.lower() in (*TRAIN, *TESTS)]
    return []
