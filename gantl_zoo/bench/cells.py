"""Cells, the runs that a table consists of: finished ones are lines of `cells.jsonl`, others run folders."""

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
    """The finished rows in `path` by their keys. Raises `UsageError` for an invalid line."""
    if not path.is_file():
        return {}
    rows = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            row = json.loads(line)
            rows[row["key"]] = row
        except (ValueError, KeyError, TypeError) as error:
            raise UsageError(
                f"{path}, line {number} is not a valid cell ({error}); remove the line"
            ) from error
    return rows


def once(path: Path, key: str, make: Callable[[], Row]) -> Row:
    """The finished row of `key`; if there is none, compute it with `make` and append it to the file."""
    return finished(path).get(key) or finish(path, key, make())


def finish(path: Path, key: str, row: Row) -> Row:
    """Append a row with a single write, as processes may share the file. Raises `TrainingError`."""
    kept = {"key": key} | row
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "a", encoding="utf-8") as file:
            file.write(json.dumps(kept) + "\n")
    except OSError as error:
        raise TrainingError(f"can't write {path}: {error.strerror}") from error
    return kept


def write_text(path: Path, text: str) -> None:
    """Write a file atomically. Raises `TrainingError` if it can't be written."""
    try:
        with replace_file(path) as beside:
            beside.write_text(text, encoding="utf-8")
    except OSError as error:
        raise TrainingError(f"can't write {path}: {error.strerror}") from error


def spread(values: Sequence[float], show: Callable[[float], str]) -> str:
    """Format the mean, with the standard deviation if there are several values."""
    mean = show(statistics.mean(values))
    return mean if len(values) < 2 else f"{mean} ± {show(statistics.stdev(values))}"


def folder(out: Path, name: str, key: str) -> Path:
    """The folder of a cell's runs. It depends on the key, so that no run of another recipe is continued."""
    return out / f"{name}-{hashlib.sha256(key.encode()).hexdigest()[:8]}"


def trained(folder: Path, start: Callable[[], GAN], quiet: bool) -> tuple[GAN, RunFolder]:
    """Train with `start`, or resume the interrupted run in `folder`; returns the GAN and its run folder."""
    unfinished = begun_in(folder)
    gan = resume(unfinished, quiet=quiet) if unfinished else start()
    assert isinstance(gan, GAN)  # cells don't train classifiers with it
    return gan, RunFolder(runs_in(folder)[-1])
