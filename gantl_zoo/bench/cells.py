"""Cells: runs that a table is made of. A finished one is a line in a file, an unfinished one a run folder."""

from __future__ import annotations

import hashlib
import json
import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gantl_zoo.errors import TrainingError, UsageError
from gantl_zoo.model.gan import GAN
from gantl_zoo.runs.folder import RunFolder, begun_in, runs_in
from gantl_zoo.runs.resume import resume
from gantl_zoo.storage.atomic import replace_file

Row = dict[str, Any]
RESULTS = "cells.jsonl"


def finished(path: Path) -> dict[str, Row]:
    """The rows in `path` by their key. Raises `UsageError` for a line that is none."""
    if not path.is_file():
        return {}
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row["key"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}, line {number} is no finished cell ({error}); remove that line"
            ) from error
    return rows


def once(path: Path, key: str, make: Callable[[], Row]) -> Row:
    """The finished row of that key, or the one that `make` gives, which is finished from now on."""
    return finished(path).get(key) or finish(path, key, make())


def finish(path: Path, key: str, row: Row) -> Row:
    """Append the row, in one write, so that several processes may share the file."""
    kept = {"key": key} | row
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
    except OSError as error:
        raise TrainingError(f"can't write {path}: {error.strerror}") from error
    return kept


def write_text(path: Path, text: str) -> None:
    """Write or replace a file as a whole. Raises `TrainingError` if that can't be done."""
    try:
        with replace_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"can't write {path}: {error.strerror}") from error


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """The mean, and the deviation where there are several."""
    mean = show(statistics.mean(values))
    return mean if len(values) < 2 else f"{mean} ± {show(statistics.stdev(values))}"


def folder(out: Path, name: str, key: str) -> Path:
    """The place of a cell's run: another for another key, so that no run of another recipe goes on."""
    return out / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def trained(folder: Path, start: Callable[[], GAN], quiet: bool) -> tuple[GAN, RunFolder]:
    """What `start` trains into `folder`, or what an earlier, interrupted call did; and its run folder."""
    begun = begun_in(folder)
    gan = resume(begun, quiet=quiet) if begun else start()
    assert isinstance(gan, GAN)  # cells train no classifiers
    return gan, RunFolder(runs_in(folder)[-1])
