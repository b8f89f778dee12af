"""A folder appears when it is whole, and what stood in its place is not lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from gantl_zoo.storage.atomic import replace_folder


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
    with replace_folder(place, along=lambda name: name == "notes") as new:
        (new / "weights").write_text("new")
        assert inside(place) == {"model": "old", "notes": "old"}, "until the block ends"
    assert inside(place) == {"weights": "new", "notes": "old"} and len(list(place.parent.iterdir())) == 1


@pytest.mark.parametrize("there", [True, False])
def test_a_block_that_fails_changes_nothing(place: Path, there: bool) -> None:
    folder = place if there else place.parent / "other"
    with pytest.raises(ValueError), replace_folder(folder) as new:
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

    monkeypatch.setattr("gantl_zoo.storage.atomic.os.rename", broken)
    with pytest.raises(OSError, match="No space left"), replace_folder(place) as new:
        (new / "weights").write_text("new")
    assert inside(place) == {"model": "old", "notes": "old"} and len(list(place.parent.iterdir())) == 1


def test_a_file_in_the_place_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "place").write_text("a thesis")
    with pytest.raises(NotADirectoryError), replace_folder(tmp_path / "place") as new:
        (new / "weights").write_text("new")
    assert (tmp_path / "place").read_text() == "a thesis" and len(list(tmp_path.iterdir())) == 1


@pytest.mark.parametrize("moment", [1, 2, 3])
def test_an_interruption_at_any_moment_loses_neither_model_nor_notes(
    place: Path, monkeypatch: pytest.MonkeyPatch, moment: int
) -> None:
    rename, calls = os.rename, []

    def interrupted(old: Path, new: Path) -> None:
        calls.append(new)
        rename(old, new)
        if len(calls) == moment:
            raise KeyboardInterrupt

    monkeypatch.setattr("gantl_zoo.storage.atomic.os.rename", interrupted)
    with pytest.raises(KeyboardInterrupt), replace_folder(place, along=lambda name: name == "notes") as new:
        (new / "model").write_text("new")
    assert inside(place) == {"model": "old", "notes": "old"}
    assert len(list(place.parent.iterdir())) == 1


def test_what_cant_move_along_stops_the_exchange(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rename = os.rename

    def refused(old: Path, new: Path) -> None:
        if old.name == "stuck":
            raise PermissionError(13, "Permission denied")
        rename(old, new)

    for name in ("stuck", "letters", "zeal"):
        (place / name).write_text("old")
    before = inside(place)
    monkeypatch.setattr("gantl_zoo.storage.atomic.os.rename", refused)
    with pytest.raises(PermissionError), replace_folder(place, along=lambda name: name != "model") as new:
        (new / "model").write_text("new")
    assert inside(place) == before and len(list(place.parent.iterdir())) == 1


def test_a_link_to_a_folder_stays_one(place: Path) -> None:
    link = place.parent / "link"
    link.symlink_to(place, target_is_directory=True)
    with replace_folder(link, along=lambda name: name == "notes") as new:
        (new / "model").write_text("new")
    assert link.is_symlink() and inside(place) == {"model": "new", "notes": "old"}
