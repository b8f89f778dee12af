"""Names, folders and zips become images; wrong ones become one clear error."""

from __future__ import annotations

import os
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.data import ImageData, to_float, to_uint8


def test_a_folder_has_classes_a_split_and_a_size(photos: Path) -> None:
    parts = {split: data.load(photos, split=split, image_size=16) for split in ("train", "test")}
    assert sum(map(len, parts.values())) == 30 and 1 <= len(parts["test"]) <= 8
    train = parts["train"]
    assert train.shape == (3, 16, 16) and train.images.dtype == torch.uint8
    assert train.classes == ("cats", "dogs") and train.labels is not None
    assert train.name == "photos"


def test_a_zip_gives_what_its_folder_gives(photos: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "photos.zip", "w") as archive:
        for path in sorted(photos.rglob("*.png"), reverse=True):
            archive.write(path, path.relative_to(photos))
    assert data.load(tmp_path / "photos.zip", image_size=16).fingerprint == data.load(
        photos, image_size=16
    ).fingerprint  # fmt: skip


def test_the_fingerprint_is_of_the_content(photos: Path) -> None:
    before = data.load(photos, image_size=16).fingerprint
    for path in photos.rglob("*.png"):
        Image.fromarray(255 - np.asarray(Image.open(path))).save(path)
    assert data.load(photos, image_size=16).fingerprint != before


def test_a_corrupt_image_is_named_and_left_out(photos: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (photos / "cats" / "torn.png").write_bytes(b"\x89PNG\r\n\x1a\n but no more")
    assert len(data.load(photos, image_size=16)) + len(data.load(photos, split="test", image_size=16)) == 30
    assert "cats/torn.png" in capsys.readouterr().err


def test_too_many_corrupt_images_are_fatal(photos: Path) -> None:
    for path in list(photos.rglob("*.png"))[:10]:
        path.write_bytes(b"nothing")
    with pytest.raises(gz.DataError, match=r"png \(not a known image format\).* more than 5% is too many"):
        data.load(photos, image_size=16)


def test_grey_stays_grey_and_transparency_becomes_white(tmp_path: Path) -> None:
    (tmp_path / "grey").mkdir()
    (tmp_path / "clear").mkdir()
    Image.new("L", (8, 8), 7).save(tmp_path / "grey" / "a.png")
    Image.new("RGBA", (8, 8), (255, 0, 0, 0)).save(tmp_path / "clear" / "a.png")
    assert data.load(tmp_path / "grey").shape == (1, 8, 8)
    assert (data.load(tmp_path / "clear").images == 255).all()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda p: p.mkdir(), "contains no images"),
        (lambda p: p.write_text("no zip"), "neither a folder nor a readable zip"),
        (lambda p: None, "does not exist; the data sets are: cifar10, digits"),
    ],
)
def test_a_place_without_images_is_explained(tmp_path: Path, make: object, said: str) -> None:
    make(tmp_path / "things")  # type: ignore[operator]
    with pytest.raises(gz.DataError, match=said):
        data.load(tmp_path / "things")


def test_images_of_different_sizes_need_a_size(tmp_path: Path) -> None:
    for side in (8, 9):
        Image.new("L", (side, side)).save(tmp_path / f"{side}.png")
    with pytest.raises(gz.DataError, match=r"8×8, 9×9.*--image-size"):
        data.load(tmp_path)
    assert data.load(tmp_path, image_size=8).shape == (1, 8, 8)


def test_torchvisions_sets_are_found_or_explained(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = tmp_path / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for part, count in (("train", 6), ("t10k", 4)):
        pixels = np.arange(count * 28 * 28, dtype=np.uint8)
        (raw / f"{part}-images-idx3-ubyte").write_bytes(
            b"\0\0\x08\x03" + np.array([count, 28, 28], ">i4").tobytes() + pixels.tobytes()
        )
        labels = np.arange(count, dtype=np.uint8)
        (raw / f"{part}-labels-idx1-ubyte").write_bytes(
            b"\0\0\x08\x01" + np.array([count], ">i4").tobytes() + labels.tobytes()
        )
    found = data.load("mnist", split="test", root=tmp_path)
    assert found.shape == (1, 28, 28) and len(found) == 4 and found.labels is not None
    assert found.labels.tolist() == [0, 1, 2, 3]

    import torchvision.datasets

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    monkeypatch.setattr(torchvision.datasets, "KMNIST", offline)
    with pytest.raises(gz.DataError, match=r"kmnist is not in .*no network.*--data-root.*--data glyphs"):
        data.load("kmnist", root=tmp_path)


def test_digits_are_real_and_split() -> None:
    train, test = data.load("digits"), data.load("digits", split="test")
    assert len(train) + len(test) == 1797 and train.shape == (1, 8, 8)
    assert data.load("digits", image_size=28).shape == (1, 28, 28)


def test_glyphs_are_fixed_by_seed_and_hold_fonts_out(monkeypatch: pytest.MonkeyPatch) -> None:
    from gantl_zoo.data import glyphs

    monkeypatch.setattr(glyphs, "COUNTS", {"train": 260, "test": 104})
    monkeypatch.setattr(glyphs, "load", glyphs.load.__wrapped__)
    train, test = data.load("glyphs"), data.load("glyphs", split="test")
    assert train.shape == test.shape == (1, 28, 28) and test.labels is not None
    assert torch.bincount(test.labels).tolist() == [4] * 26
    assert train.fingerprint == data.load("glyphs").fingerprint == "b6630e597f2132c1"
    assert train.fingerprint != data.load("glyphs", data_seed=1).fingerprint
    assert test.fingerprint == data.load("glyphs", split="test", data_seed=1).fingerprint
    assert not set(glyphs.TRAIN_FONTS) & set(glyphs.TEST_FONTS)
    ink = train.images.float().mean(dim=(1, 2, 3))
    assert ink.min() > 3, "a letter is missing from a font"


def test_a_class_keeps_its_number_where_a_split_has_none_of_it(photos: Path) -> None:
    every = [data.load(photos, split=split, image_size=8) for split in ("train", "test")]
    rare = photos / "ants"  # sorts first, and one image is too few for both splits
    rare.mkdir()
    (photos / "cats" / "1.png").rename(rare / "1.png")
    again = [data.load(photos, split=split, image_size=8) for split in ("train", "test")]
    assert [images.classes for images in every] == [("cats", "dogs")] * 2
    assert [images.classes for images in again] == [("ants", "cats", "dogs")] * 2
    assert {0 in images.labels for images in again if images.labels is not None} == {True, False}


def test_some_classes_only(photos: Path) -> None:
    every, some = data.load("digits"), data.load("digits:7,0-2")
    assert every.labels is not None and some.labels is not None
    assert some.classes == ("7", "0", "1", "2") and some.name == "digits-7-0-2"
    assert torch.bincount(some.labels).tolist() == [int((every.labels == i).sum()) for i in (7, 0, 1, 2)]
    assert torch.equal(some.images[some.labels == 0], every.images[every.labels == 7])
    assert data.load(f"{photos}:cats", image_size=8).classes == ("cats",)
    assert len(data.load("digits:3", shots=5)) == 5


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("digits:10", r"digits has no class '10'; it has 0 to 9: 0, 1, 2"),
        ("digits:2-1", r"the range 2-1 runs backwards; write 1-2"),
        ("digits:", r"digits has no class ''"),
        ("digits:1,0-1", r"'1,0-1' names a class twice"),
        ("nothing:1", r"unknown data set 'nothing:1'"),
    ],
)
def test_classes_that_are_not_there(source: str, text: str) -> None:
    with pytest.raises(gz.DataError, match=text):
        data.load(source)


def test_images_without_labels_have_no_classes_to_choose(images: ImageData) -> None:
    with pytest.raises(gz.DataError, match="halves has no classes"):
        replace(images, labels=None).of_classes("0")


def test_few_is_fixed_and_bounded(images: ImageData) -> None:
    few = images.few(5, seed=3)
    assert len(few) == 5 and few.fingerprint == images.few(5, seed=3).fingerprint
    assert few.fingerprint != images.few(5, seed=4).fingerprint
    with pytest.raises(gz.DataError, match="--shots 41: halves has 40 train images"):
        images.few(41)


def test_colour_and_grey_convert(images: ImageData) -> None:
    colour = images.fit(None, 3)
    assert colour.shape == (3, 28, 28)
    assert torch.equal(colour.fit(None, 1).images, images.images)
    with pytest.raises(gz.DataError, match="can't become 4"):
        images.fit(None, 4)


def test_uint8_survives_the_way_to_float_and_back() -> None:
    values = torch.arange(256, dtype=torch.uint8)
    floats = to_float(values)
    assert floats.min() == -1 and floats.max() == 1
    assert torch.equal(to_uint8(floats), values)
    assert to_uint8(torch.tensor([-9.0, 9.0])).tolist() == [0, 255]


def test_sixteen_bits_are_seen_by_their_upper_eight(tmp_path: Path) -> None:
    values = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024
    (tmp_path / "deep").mkdir()
    for i in range(12):
        Image.fromarray(values).save(tmp_path / "deep" / f"{i}.png")
    (image, *_) = data.load(tmp_path / "deep").images
    assert image.shape == (1, 8, 8) and np.array_equal(image[0].numpy(), values >> 8)
    for i in range(12):
        Image.fromarray(values.astype(np.float32)).save(tmp_path / "deep" / f"{i}.tif")
    with pytest.raises(gz.DataError, match="32 bits per pixel, whose white level is unknown"):
        data.load(tmp_path / "deep")


def test_of_three_splits_the_validation_images_are_left_alone(tmp_path: Path) -> None:
    for i, name in enumerate(("Train/cats/a", "Train/dogs/b", "valid/cats/c", "test/cats/d")):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i).save(path)
    train, held_out = (data.load(tmp_path / "photos", split=split) for split in ("train", "test"))
    assert train.images[:, 0, 0, 0].tolist() == [0, 1] and held_out.images[:, 0, 0, 0].tolist() == [3]
    assert train.classes == held_out.classes == ("cats", "dogs")


@pytest.mark.parametrize("second", ["test", "val"])
def test_folders_of_these_names_are_the_splits(tmp_path: Path, second: str) -> None:
    for name, value in (("train/cats/a", 1), ("train/dogs/b", 2), (f"{second}/dogs/c", 3)):
        path = tmp_path / "photos" / f"{name}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), value).save(path)
    train, held_out = (data.load(tmp_path / "photos", split=split) for split in ("train", "test"))
    assert train.images[:, 0, 0, 0].tolist() == [1, 2] and held_out.images[:, 0, 0, 0].tolist() == [3]
    assert train.classes == held_out.classes == ("cats", "dogs")
    assert held_out.labels is not None and held_out.labels.tolist() == [1]
    Image.new("L", (8, 8), 4).save(tmp_path / "photos" / "d.png")
    with pytest.raises(gz.DataError, match=r"beside them d\.png: keep"):
        data.load(tmp_path / "photos")


def square(path: Path, value: int, mode: str = "L", side: int = 8) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new(mode, (side, side), value if mode == "L" else (value, 0, 0)).save(path)


def test_the_folder_that_a_zip_was_made_of_is_no_class_and_hides_no_split(tmp_path: Path) -> None:
    for i in range(20):
        square(
            tmp_path / "root" / ("test" if i % 2 else "train") / ("cat" if i % 4 < 2 else "dog") / f"{i}.png",
            i,
        )
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for path in (tmp_path / "root").rglob("*.png"):
            archive.write(path, path.relative_to(tmp_path))
    for source in (tmp_path / "root", tmp_path / "x.zip"):
        parts = {split: data.load(source, split=split) for split in ("train", "test")}
        assert [len(part) for part in parts.values()] == [10, 10]
        assert parts["test"].classes == ("cat", "dog")
    assert len(data.load(f"{tmp_path / 'x.zip'}:cat")) == 5


def test_images_beside_the_splits_are_named(tmp_path: Path) -> None:
    for name in ("train/1.png", "test/2.png", "preview.png"):
        square(tmp_path / "some" / name, 9)
    with pytest.raises(gz.DataError, match=r"beside them preview\.png: keep images in these two"):
        data.load(tmp_path / "some")


def test_linked_folders_are_entered_once_and_hidden_ones_never(tmp_path: Path) -> None:
    for i in range(12):
        square(tmp_path / "far" / f"{i}.png", i)
        square(tmp_path / "some" / "a" / f"{i}.png", i)
    square(tmp_path / "some" / "a" / ".ipynb_checkpoints" / "0.png", 0)
    (tmp_path / "some" / "b").symlink_to(tmp_path / "far", target_is_directory=True)
    (tmp_path / "far" / "back").symlink_to(tmp_path / "some", target_is_directory=True)
    (tmp_path / "some" / "0").symlink_to(tmp_path / "some" / "a", target_is_directory=True)
    (tmp_path / "some" / "lost.png").symlink_to(tmp_path / "nowhere.png")
    found = [data.load(tmp_path / "some", split=split) for split in ("train", "test")]
    assert sum(map(len, found)) == 24 and found[0].classes == ("a", "b")


def test_a_damaged_member_of_a_zip_is_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    with zipfile.ZipFile(tmp_path / "x.zip", "w") as archive:
        for i in range(40):
            square(tmp_path / f"{i}.png", i)
            archive.write(tmp_path / f"{i}.png", f"{i}.png")
    content = (tmp_path / "x.zip").read_bytes()
    at = content.index(b"IDAT", len(content) // 2)
    (tmp_path / "x.zip").write_bytes(content[:at] + b"IDXX" + content[at + 4 :])
    assert sum(len(data.load(tmp_path / "x.zip", split=split)) for split in ("train", "test")) == 39
    assert "Bad CRC-32" in capsys.readouterr().err
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 20)
    with pytest.raises(gz.DataError, match="exceeds limit"):
        data.load(tmp_path / "x.zip")


def test_a_path_is_a_place_even_if_it_is_called_like_a_data_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(12):
        square(tmp_path / "mnist" / f"{i}.png", i)
    assert data.load(Path("mnist")).shape == (1, 8, 8)
    assert data.load(data.spoken(Path("mnist"))).shape == (1, 8, 8)


def test_a_range_of_names_goes_by_names(tmp_path: Path) -> None:
    for name in "123":
        for i in range(12):
            square(tmp_path / "some" / name / f"{i}.png", i)
    assert data.load(f"{tmp_path / 'some'}:1-2").classes == ("1", "2")
    for i in range(12):
        square(tmp_path / "some" / "10" / f"{i}.png", i)
        square(tmp_path / "some" / "x" / f"{i}.png", i)
    assert data.load(f"{tmp_path / 'some'}:2-10").classes == ("2", "3", "10")
    assert data.load(f"{tmp_path / 'some'}:3-x").classes == ("3", "x")


def test_a_file_name_that_is_no_text_is_none_of_our_business(tmp_path: Path) -> None:
    for i in range(12):
        square(tmp_path / "some" / f"{i}.png", i)
    os.rename(tmp_path / "some" / "3.png", os.fsencode(tmp_path / "some") + b"/caf\xe9.png")
    assert sum(len(data.load(tmp_path / "some", split=split)) for split in ("train", "test")) == 12


def test_tensors_that_are_no_images_are_refused() -> None:
    good = torch.zeros(3, 1, 8, 8, dtype=torch.uint8)
    for images, labels, said in (
        (good.float(), None, r"uint8 tensor .*not torch.float32 \(3, 1, 8, 8\); .*to_uint8"),
        (good[0], None, r"not torch.uint8 \(1, 8, 8\)"),
        (good.numpy(), None, "not <class 'numpy.ndarray'>"),
        (good, torch.zeros(2, dtype=torch.long), r"labels must be a tensor \(N,\), one for each of 3 images"),
        (good, [0, 1, 2], "labels must be a tensor"),
    ):
        with pytest.raises(gz.DataError, match=said):
            ImageData(images, labels)  # type: ignore[arg-type]
