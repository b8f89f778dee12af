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
    classes = {name: _parted(path)[0][:-1] or "." for name, path in within.items()}
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
    parted = {name: _parted(path) for name, path in images.items()}
    parts = {folder: PurePosixPath(folder).parts for folder in {folder for folder, _ in parted.values()}}
    shared = shared_folders(list(parts.values()))
    top = PurePosixPath(*next(iter(parts.values()))[:shared])
    inner = {folder: "".join(f"{part}/" for part in own[shared:]) for folder, own in parts.items()}
    return top, {name: inner[folder] + file for name, (folder, file) in parted.items()}


def _parted(path: str) -> tuple[str, str]:
    """The folder of a path, with the slash, and the name of the file. Paths are split often: this is fast."""
    file = path.rpartition("/")[2]
    return path[: len(path) - len(file)], file


def splits_of(source: Path, paths: dict[str, str]) -> dict[str, str]:
    """The top folder of each image if these are splits, one for training and one for testing; else empty.

    Raises `DataError` if there are images beside the splits.
    """
    tops = {name: path.partition("/")[0].lower() for name, path in paths.items()}
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
    tops = {path.partition("/")[0].lower() for path in paths.values() if "/" in path}
    if not tops <= {*TRAIN, *TESTS}:
        return paths
    return {name: path.partition("/")[2] or path for name, path in paths.items()}


def _above(tables: dict[str, str], top: PurePosixPath, split: bool) -> list[str]:
    """The `dataset.json` files that apply: the nearest one above all images, or one per split folder."""
    places = {PurePosixPath(table).parent: table for table in tables}
    if nearest := next((places[place] for place in (top, *top.parents) if place in places), ""):
        return [nearest]
    inner = {place.relative_to(top) for place in places if place.is_relative_to(top)}
    if split and inner and all(len(place.parts) == 1 for place in inner):
        return [places[top / place] for place in inner if place.name.lower() in (*TRAIN, *TESTS)]
    return []
