"""The held-out images are the same ones, however the same images are reached."""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from gantl_zoo import data
from gantl_zoo.data import ImageData, Stream, split as splitting


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Sixty different images in a folder, below a parent that holds nothing else."""
    folder = tmp_path / "parent" / "pictures"
    folder.mkdir(parents=True)
    for i, pixels in enumerate(np.random.RandomState(0).randint(0, 255, (60, 6, 6), dtype=np.uint8)):
        Image.fromarray(pixels).save(folder / f"{i:02}.png")
    return folder


def zipped(folder: Path, above: Path, separator: str = "/") -> Path:
    place = folder.parent.parent / f"{len(list(folder.parent.parent.iterdir()))}.zip"
    with zipfile.ZipFile(place, "w") as archive:
        for path in folder.rglob("*.*"):
            archive.writestr(path.relative_to(above).as_posix().replace("/", separator), path.read_bytes())
    return place


def linked(folder: Path) -> Path:
    (folder.parent.parent / "link").symlink_to(folder, target_is_directory=True)
    return folder.parent.parent / "link"


def renamed(folder: Path) -> Path:
    other = Path(shutil.copytree(folder, folder.parent.parent / "renamed"))
    for i, path in enumerate(sorted(other.iterdir())):
        path.rename(other / f"photo {59 - i}.png")
    return other


WAYS: dict[str, Callable[[Path], str | Path]] = {
    "parent": lambda folder: folder.parent,
    "grandparent": lambda folder: folder.parent.parent,
    "zip": lambda folder: zipped(folder, folder),
    "wrapped zip": lambda folder: zipped(folder, folder.parent),
    "twice wrapped zip": lambda folder: zipped(folder, folder.parent.parent),
    "zip of Windows": lambda folder: zipped(folder, folder.parent, "\\"),
    "relative": lambda folder: os.path.relpath(folder),
    "around": lambda folder: f"{folder}/../../parent/pictures",
    "link": linked,
    "renamed": renamed,
}


def contents(images: ImageData) -> set[bytes]:
    return {image.numpy().tobytes() for image in images.images[:]}


@pytest.mark.parametrize("way", WAYS)
def test_the_split_follows_the_image(pictures: Path, way: str) -> None:
    train, held_out = data.load(pictures), data.load(pictures, split="test")
    other = WAYS[way](pictures)
    again, held_again = data.load(other), data.load(other, split="test")
    assert 3 <= len(held_out) <= 12 and contents(held_out) == contents(held_again)
    assert not contents(again) & contents(held_out)
    assert (again.fingerprint == train.fingerprint) == (way != "renamed")
    assert again.sketch() == train.sketch()


def test_classes_and_streams_don_t_change_the_split(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held_out = contents(data.load(pictures, split="test"))
    for path in list(pictures.iterdir()):
        (pictures / path.stem[-1]).mkdir(exist_ok=True)
        path.rename(pictures / path.stem[-1] / path.name)
    assert contents(data.load(pictures, split="test")) == held_out
    archive = zipped(pictures, pictures.parent)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1")
    ways = [data.load(source) for source in (pictures, archive)]
    assert all(isinstance(images.images, Stream) and len(images.classes) == 10 for images in ways)
    assert ways[0].fingerprint == ways[1].fingerprint
    assert contents(data.load(archive, split="test")) == held_out


def test_copies_of_an_image_stay_together(pictures: Path) -> None:
    count = len(data.load(pictures, split="test"))
    for path in list(pictures.iterdir()):
        shutil.copy(path, pictures / f"copy of {path.name}")
    train, held_out = data.load(pictures), data.load(pictures, split="test")
    assert len(held_out) == 2 * count and not contents(train) & contents(held_out)


def test_the_side_of_an_image_is_its_own(tmp_path: Path) -> None:
    pixels = np.random.RandomState(1).randint(0, 255, (600, 4, 4), dtype=np.uint8)
    for i, image in enumerate(pixels):
        place = tmp_path / "pp" / ("photos" if i < 300 else "others" if i < 500 else "new") / f"{i}.png"
        place.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place)
    every = {split: contents(data.load(tmp_path / "pp", split=split)) for split in ("train", "test")}
    for place in ("photos", "others", "new"):
        for split, whole in every.items():
            inner = contents(data.load(tmp_path / "pp" / place, split=split))
            assert inner == contents(data.load(f"{tmp_path / 'pp'}:{place}", split=split)) <= whole
    before = every["test"]
    shutil.rmtree(tmp_path / "pp" / "new")
    assert contents(data.load(tmp_path / "pp", split="test")) < before and 40 < len(before) < 80


def hashed(*firsts: int) -> dict[str, bytes]:
    """Names, and hashes that begin with these bytes; equal ones are copies."""
    return {f"{i:03}": bytes([first]) + bytes(31) for i, first in enumerate(firsts)}


@pytest.mark.parametrize(
    ("firsts", "count"),
    [
        (range(256), 26),  # below 25.6
        (range(0, 100, 5), 4),  # six of twenty are below the threshold: at most a fifth
        (range(100, 140), 4),  # none of forty is below it: the lowest tenth
        ((1, *range(100, 140)), 4),  # fewer than a twentieth
        ((1, 2, *range(100, 140)), 2),
        (range(9), 0),
        (range(10), 2),
        ((9,) * 10, 1),  # nothing but copies
        ((200,) * 10, 1),
        ((5,) * 15 + (9,) * 2 + tuple(range(100, 103)), 2),  # so many copies don't fit
        ((100,) * 10 + (200,) * 10, 10),
    ],
)
def test_small_sets_hold_out_some_and_never_too_many(firsts: tuple[int, ...], count: int) -> None:
    of = hashed(*firsts)
    found = splitting.held_out({name: name for name in of}, of)
    assert len(found) == count
    if len(set(of.values())) > 1:
        assert not {of[name] for name in found} & {of[name] for name in of if name not in found}


def test_old_runs_go_on_with_the_split_by_path(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    names = sorted(path.name for path in pictures.iterdir())
    held = sorted(sorted(names, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:6])
    expected = [np.asarray(Image.open(pictures / name)).tobytes() for name in held]
    found = data.load(pictures, split="test", split_by="path").images
    assert [image.numpy().tobytes() for image in found] == expected
    assert data.load(pictures, split_by="path").fingerprint != data.load(pictures).fingerprint
    above = {f"pictures/{name}": np.asarray(Image.open(pictures / name)).tobytes() for name in names}
    lowest = sorted(above, key=lambda name: hashlib.sha256(name.encode()).hexdigest())[:6]
    parent = data.load(pictures.parent, split="test", split_by="path")  # hashes cover the folders, too
    assert contents(parent) == {above[name] for name in lowest}
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1")
    digest = hashlib.sha256(repr((6, 1, 6, 6)).encode())
    inner = hashlib.sha256()
    for name in held:
        inner.update(name.encode() + b"\0" + hashlib.sha256((pictures / name).read_bytes()).digest())
    digest.update(inner.digest())
    streamed = data.load(pictures, split="test", split_by="path")
    assert streamed.fingerprint == digest.hexdigest()[:16]


def test_a_change_of_a_file_is_noticed_at_once(pictures: Path) -> None:
    before = data.load(pictures).ids
    path = pictures / "07.png"
    content = path.read_bytes()
    at = content.index(b"IDAT") + 8
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])  # of the same size
    changed = splitting.ids_of(splitting.hashes(pictures, ["07.png"]).values())
    assert before is not None and not torch.isin(changed, before).any()


def test_a_sketch_says_how_many_images_were_trained_on(pictures: Path) -> None:
    train, held_out = data.load(pictures), data.load(pictures, split="test")
    kept = train.about()["trained_on"]
    assert isinstance(kept, str) and len(base64.b64decode(kept)) == 4 * len(train)
    assert data.overlap(kept, held_out) == 0 and data.overlap(kept, train) == len(train) > 40
    few = train.few(9)
    assert data.overlap(few.sketch(), train) == 9 == data.overlap(kept, few)
    by_path = data.load(pictures, split="test", split_by="path")
    assert data.overlap(kept, by_path) == len(contents(by_path) & contents(train)) > 0


def test_a_sketch_has_at_most_a_thousand_ids_the_lowest_ones() -> None:
    ids = torch.randint(1 << 48, (5000,))
    found = np.frombuffer(base64.b64decode(splitting.sketch(ids)), ">u4")
    assert found.tolist() == [i >> 16 for i in sorted(ids.tolist())[:1000]]


@pytest.mark.parametrize("text", ["", "no base64!", "AAA", "AAAA"])
def test_a_sketch_that_is_not_valid_has_nothing(pictures: Path, text: str) -> None:
    assert data.overlap(text, data.load(pictures)) == 0


def test_images_that_are_not_of_files_have_no_sketch(images: ImageData) -> None:
    assert images.ids is None and "trained_on" not in images.about() and images.sketch() == ""
    assert data.overlap("AAAAAA==", images) == 0
