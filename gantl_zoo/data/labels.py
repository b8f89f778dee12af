"""Labels of StyleGAN's data sets: `dataset.json`, and folders that are shards instead of classes.

The layout is that of https://github.com/NVlabs/stylegan3/blob/main/dataset_tool.py.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import PurePosixPath
from typing import Any

from gantl_zoo.console import warn
from gantl_zoo.errors import DataError

REMEDY = "correct it, or rename it to use folders as classes"
SHARD = re.compile(r"(\d{5})/img\d{8}\.\w+", re.A)
FFHQ = re.compile(r"(\d\d)000/\1\d{3}\.\w+", re.A)  # 01000/01234.png


def sharded(paths: list[str]) -> bool:
    """Whether folders are shards: 00000, 00001, …, with the file names of StyleGAN's tool or of FFHQ."""
    matches = [SHARD.fullmatch(path) for path in paths]
    if all(matches):
        numbers = sorted({int(match[1]) for match in matches if match})
        return numbers == list(range(len(numbers)))
    return all(FFHQ.fullmatch(path) for path in paths)


def labels_of(
    source: object, tables: dict[str, str], paths: dict[str, str], read: Callable[[str], bytes]
) -> dict[str, str]:
    """`{name: class}` from the tables above the images; empty if the tables have no labels.

    `paths` are the images' paths by name, `tables` the tables' names by path. A table applies to the images
    in its folder and below. Raises `DataError`.
    """
    labels: dict[str, Any] = {}
    for table, file in tables.items():
        folder = PurePosixPath(table).parent
        for path, label in _entries(f"{source}: {table}", partial(read, file)).items():
            labels[str(folder / path)] = label
    if not labels:
        return {}
    chosen = {name: labels[path] for name, path in paths.items() if path in labels}
    if absent := sorted(set(paths) - set(chosen)):
        raise DataError(
            f"{source}: {', '.join(tables)} has no label for {len(absent)} of {len(paths)} images, such as "
            f"{paths[absent[0]]}; {REMEDY}"
        )
    return _named(f"{source}: {', '.join(tables)}", chosen)


def _entries(where: str, read: Callable[[], bytes]) -> dict[str, Any]:
    """`{path: label}` of one table. Raises `DataError`."""
    try:
        table = json.loads(read())
    except Exception as error:  # damaged files make json, zipfile and zlib raise anything
        raise DataError(f"{where} is not readable as JSON ({error}); {REMEDY}") from error
    if not isinstance(table, dict) or "labels" not in table:
        raise DataError(
            f'{where} is not a valid table: it must be {{"labels": [[file, label], …]}}; {REMEDY}'
        )
    try:
        rows: dict[Any, Any] = dict(table["labels"] or {})
        return {PurePosixPath(path.replace("\\", "/")).as_posix(): label for path, label in rows.items()}
    except (TypeError, ValueError, AttributeError):
        raise DataError(f"{where}: labels must be null or a list of [file, label]; {REMEDY}") from None


def _named(where: str, labels: dict[str, Any]) -> dict[str, str]:
    """Convert labels, whole numbers or one-hot vectors, to class names."""
    if all(isinstance(label, list) for label in labels.values()):
        if not all(_one_hot(label) for label in labels.values()):
            warn(f"{where}: labels are vectors but not one-hot, so they are not used as classes")
            return {}
        return {name: str(label.index(1)) for name, label in labels.items()}
    for name, label in labels.items():
        if isinstance(label, bool) or not isinstance(label, int | float) or label < 0 or label != label // 1:
            raise DataError(
                f"{where}: the label {str(label)[:40]!r} of {name} is not a class number; {REMEDY}"
            )
    return {name: str(int(label)) for name, label in labels.items()}


def _one_hot(label: list[Any]) -> bool:
    numbers = all(isinstance(value, int | float) for value in label)
    return numbers and label.count(1) == 1 and label.count(0) == len(label) - 1
