"""Find the images of a run when it is resumed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gantl_zoo.data import source_of
from gantl_zoo.data.places import kind_of
from gantl_zoo.data.sources import chosen
from gantl_zoo.errors import DataError, TrainingError, UsageError
from gantl_zoo.runs.settings import Data
from gantl_zoo.runs.spec import DataSpec, RunData


def find_images(spec: DataSpec, fingerprint: str | None, run: Path, data: Data | None = None) -> RunData:
    """Read the images of the run in the folder `run`, from `data` or from their original place.

    Images in memory must be given as `data`. Raises `TrainingError` if the images can't be read or have
    changed, `UsageError` if `data` contains other images.
    """
    if data is not None:
        return _given(replace(spec, source=source_of(data), place=None, memory=False), fingerprint, run)
    if spec.in_memory:
        raise TrainingError(
            f"{run} was given its images in memory: give them again as data, or start a new run"
        )
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
            f"the data {spec.name}{where} of {run} can't be read: {failure}; if the images were moved, give "
            "their new place with --data"
        )
    raise TrainingError(
        f"the data {spec.name} has changed since {run} began (fingerprint {images.fingerprint}, at first "
        f"{fingerprint}), or was streamed in only one of the two cases (GANTL_ZOO_MEMORY): restore the "
        "images or that setting, give the place of the images with --data, or start a new run"
    )


def _given(spec: DataSpec, fingerprint: str | None, run: Path) -> RunData:
    """Read the images of `spec`. Raises `UsageError` if they are not those of the run."""
    images = RunData.read(spec)
    if fingerprint in (None, images.fingerprint):  # earlier versions had no fingerprint of images in memory
        return images
    raise UsageError(
        f"{spec.name} has other images than those that {run} began with (fingerprint {images.fingerprint}, "
        f"at first {fingerprint}): --resume continues a run; to start from its model use gantl-zoo transfer "
        f"{run} --data …"
    )


def _places(spec: DataSpec) -> Iterator[str | Path]:
    """Possible places of the images: the source as it was given, and its address, a pinned one first."""
    given = spec.source if isinstance(spec.source, str | Path) else spec.name
    if spec.place is None:
        yield given
    else:
        kind = kind_of(chosen(spec.place)[0])
        yield from (spec.place, given) if kind and kind.pinned else (given, spec.place)
