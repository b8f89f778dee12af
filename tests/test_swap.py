"""A folder appears when it is whole, and what stood in its place is not lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantl_zoo.swap import swapped


def inside(folder: Path) -> dict[str, str]:
    return {path.name: path.read_text() for path in folder.iterdir()}


@pytest.fixture
def place(tmp_path: Path) -> Path:
    folder = tmp_path / "place"
    folder.mkdir()
    for name in ("model", "notes"):
        (folder / name).write_text("old")
    return folder


def test_the_new_takes_the_place_and_notes_move_along(place: Path) -> None:
    with swapped(place, along=lambda name: name == "notes") as new:
        (new / "weights").write_text("new")
        assert inside(place) == {"model": "old", "notes": "old"}, "until the block ends"
    assert inside(place) == {"weights": "new", "notes": "old"} and len(list(place.parent.iterdir())) == 1


@pytest.mark.parametrize("there", [True, False])
def test_a_block_that_fails_changes_nothing(place: Path, there: bool) -> None:
    folder = place if there else place.parent / "other"
    with pytest.raises(ValueError), swapped(folder) as new:
        (new / "weights").write_text("half")
        raise ValueError
    assert inside(place) == {"model": "old", "notes": "old"} and len(list(place.parent.iterdir())) == 1


def test_what_stood_there_comes_back_if_the_new_cant_have_its_place(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rename = os.rename

    def broken(old: Path, new: Path) -> None:
        if old.name == "new":
            raise OSError(28, "No space left on device")
        rename(old, new)

    monkeypatch.setattr("gantl_zoo.swap.os.rename", broken)
    with pytest.raises(OSError, match="No space left"), swapped(place) as new:
        (new / "weights").write_text("new")
    assert inside(place) == {"model": "old", "notes": "old"} and len(list(place.parent.iterdir())) == 1
