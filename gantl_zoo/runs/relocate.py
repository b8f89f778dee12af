"""Find the images of a run again when it is resumed."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gantl_zoo.data import source_of
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.runs.settings import Data
from gantl_zoo.runs.spec import DataSpec, RunData


def find_images(spec: DataSpec, fingerprint: str | None, run: Path, data: Data | None = None) -> RunData:
    """The images of the run in the folder `run`: at `data`, or where the run found them.

    Images in memory, which have no fingerprint, are needed again. Raises `TrainingError` if the images can't
    be read or have changed, `UsageError` if `data` holds others.
    """
    if fingerprint is None and data is None:
        raise TrainingError(f"{run} was given its images in memory: give them again as data, or begin anew")
    if data is not None:
        spec = replace(spec, source=source_of(data), place=None)
    images = _read(spec, run, moved=data is not None)
    if fingerprint is None or images.fingerprint == fingerprint:
        return images
    both = f"fingerprint {images.fingerprint}, then {fingerprint}"
    if data is not None:
        raise UsageError(
            f"{spec.name} holds other images than those that {run} began with ({both}): --resume never means "
            f"transfer; for that say gantl-zoo transfer {run} --data …, without --resume"
        )
    raise TrainingError(
        f"the data {spec.name} has changed since {run} began ({both}), or is streamed now and was not "
        "then, or the reverse (GANTL_ZOO_MEMORY): restore that, or start a new run"
    )


def _read(spec: DataSpec, run: Path, moved: bool) -> RunData:
    """The images of the first place that is there."""
    for source in _places(spec):
        return RunData.read(replace(spec, source=source))
    try:
        return RunData.read(spec)
    except DataError as error:
        if moved:
            raise
        where = f" ({spec.place})" if spec.place else ""
        raise TrainingError(
            f"the data {spec.name}{where} of {run} can't be read: {error}; if the images were moved, say "
            "where they are with --data"
        ) from error


def _places(spec: DataSpec) -> Iterator[str | Path]:
    """Where the source may lie on disk: as it was spelled, seen from here, or by its absolute path."""
    for place in (spec.source, spec.place):
        if isinstance(place, str | Path):
            expanded = os.path.expanduser(place)
            folder, colon, _ = expanded.rpartition(":")
            if os.path.exists(expanded) or (colon and os.path.exists(folder)):
                yield place
