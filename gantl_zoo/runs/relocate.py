"""Find the images of a run again when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gantl_zoo.data import source_of
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.runs.settings import Data
from gantl_zoo.runs.spec import DataSpec, RunData


def find_images(spec: DataSpec, fingerprint: str | None, run: Path, data: Data | None = None) -> RunData:
    """The images of the run in the folder `run`: at `data`, or where the run found them.

    Images in memory are needed again. Raises `TrainingError` if the images can't be read or have changed,
    `UsageError` if `data` holds others.
    """
    if data is not None:
        return _given(replace(spec, source=source_of(data), place=None, memory=False), fingerprint, run)
    if spec.in_memory:
        raise TrainingError(f"{run} was given its images in memory: give them again as data, or begin anew")
    images, failure = None, None
    for source in _places(spec):
        try:
            images = RunData.read(replace(spec, source=source))
        except DataError as error:
            failure = failure or error
            continue
        if images.fingerprint == fingerprint:
            return images
    if images is None:
        where = f" ({spec.place})" if spec.place else ""
        raise TrainingError(
            f"the data {spec.name}{where} of {run} can't be read: {failure}; if the images were moved, say "
            "where they are with --data"
        )
    raise TrainingError(
        f"the data {spec.name} has changed since {run} began (fingerprint {images.fingerprint}, then "
        f"{fingerprint}), or is streamed now and was not then, or the reverse (GANTL_ZOO_MEMORY): restore "
        "that, say where the images are with --data, or start a new run"
    )


def _given(spec: DataSpec, fingerprint: str | None, run: Path) -> RunData:
    """The images of `spec`, which are the run's, or `UsageError`."""
    images = RunData.read(spec)
    if fingerprint in (None, images.fingerprint):  # earlier versions kept none of images in memory
        return images
    raise UsageError(
        f"{spec.name} holds other images than those that {run} began with (fingerprint {images.fingerprint}, "
        f"then {fingerprint}): --resume never means transfer; for that say gantl-zoo transfer {run} --data "
        "…, without --resume"
    )


def _places(spec: DataSpec) -> Iterator[str | Path]:
    """Where the images may lie: as the source was spelled, seen from here, and at its absolute path."""
    yield spec.source if isinstance(spec.source, str | Path) else spec.name
    if spec.place is not None:
        yield spec.place
