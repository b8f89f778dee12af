"""What folders and tables mean: shards, splits, classes, and files that are not the user's pictures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.data import ImageData

Make = Callable[[dict[str, bytes | int]], Path]


@pytest.fixture(params=["folder", "zip", "wrapped zip"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Make:
    """What writes files, or grey images of a value, and gives the folder or its zip."""

    def write(files: dict[str, bytes | int]) -> Path:
        folder = tmp_path / "outer" / "things"
        for name, content in files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, int):
                picture = Image.new("L", (8, 8), content)
                picture.putpixel((0, 0), (255 - content) % 256)
                picture.save(path, format=None if path.suffix != ".jif" else "JPEG")
            else:
                path.write_bytes(content)
        if request.param == "folder":
            return folder
        above = folder if request.param == "zip" else folder.parent
        return Path(shutil.make_archive(str(tmp_path / "things"), "zip", above))

    return write


def both(source: str | Path, **settings: Any) -> list[ImageData]:
    return [data.load(source, split=split, **settings) for split in ("train", "test")]


def counts(parts: list[ImageData]) -> list[int]:
    """How many images of each class both splits have together."""
    labels = [part.labels for part in parts if part.labels is not None]
    return torch.bincount(torch.cat(labels), minlength=len(parts[0].classes)).tolist()


def shards(count: int = 40, per: int = 15) -> list[str]:
    return [f"{i // per:05}/img{i:08}.png" for i in range(count)]


def table(labels: object) -> bytes:
    return json.dumps({"labels": labels}).encode()


@pytest.mark.parametrize(
    "label", [lambda i: 3 + i % 2 * 7, lambda i: float(3 + i % 2 * 7), lambda i: [[1, 0], [0.0, 1.0]][i % 2]]
)
def test_labels_are_those_of_stylegans_table(make: Make, label: Callable[[int], object]) -> None:
    rows = [[name, label(i)] for i, name in enumerate(shards())]
    parts = both(make(dict(zip(shards(), range(40), strict=True)) | {"dataset.json": table(rows)}))
    assert parts[0].classes == parts[1].classes and parts[0].classes in (("3", "10"), ("0", "1"))
    assert counts(parts) == [20, 20]
    for part in parts:
        assert part.labels is not None and (part.labels == part.images[:, 0, 4, 4] % 2).all()


@pytest.mark.parametrize("labels", [None, []])
def test_a_table_without_labels_says_that_there_are_no_classes(make: Make, labels: object) -> None:
    files: dict[str, bytes | int] = {"cats/a.png": 1, "dogs/b.png": 2, "dataset.json": table(labels)}
    files |= {f"cats/{i}.png": i for i in range(10)}
    assert both(make(files))[0].classes == ()


def test_shards_are_not_classes_without_a_table_either(make: Make) -> None:
    parts = both(make(dict(zip(shards(), range(40), strict=True))))
    assert parts[0].classes == () and sum(map(len, parts)) == 40


def test_shards_as_in_ffhq_are_not_classes(make: Make) -> None:
    parts = both(make({f"{i // 10:02}000/{i // 10:02}{i:03}.png": i for i in range(40)}))
    assert parts[0].classes == () and sum(map(len, parts)) == 40


def test_folders_that_are_called_by_numbers_are_classes_otherwise(make: Make) -> None:
    assert both(make({f"0000{i % 3}/{i}.png": i for i in range(40)}))[0].classes == (
        "00000",
        "00001",
        "00002",
    )


def test_vectors_that_are_not_one_hot_are_not_classes(make: Make, capsys: pytest.CaptureFixture[str]) -> None:
    rows = [[name, [i / 40, 0.5]] for i, name in enumerate(shards())]
    parts = both(make(dict(zip(shards(), range(40), strict=True)) | {"dataset.json": table(rows)}))
    assert parts[0].classes == () and "labels are vectors but not one-hot" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"", "not readable as JSON"),
        (b'{"labels": [["00000/img0', "not readable as JSON"),
        (b"\xff\xfe\xff", "not readable as JSON"),
        (b"[" * 100_000, "not readable as JSON"),
        (b"[]", "not a valid table"),
        (b"{}", "not a valid table"),
        (table(7), "labels must be null or a list"),
        (table(["00000/img00000000.png", 1]), "labels must be null or a list"),
        (table([[1, 2]]), "labels must be null or a list"),
        (table([[name, 0] for name in shards()[1:]]), r"no label for 1 of 40 .*img00000000\.png"),
        (table([[name, "cat"] for name in shards()]), "the label 'cat' of .* is not a class number"),
        (table([[name, -1] for name in shards()]), "the label '-1' of .* is not a class number"),
        (table([[name, True] for name in shards()]), "the label 'True' of .* is not a class number"),
        (table([[name, 0.5] for name in shards()]), r"the label '0\.5' of .* is not a class number"),
        (table([[name, float("nan")] for name in shards()]), "the label 'nan' of .* is not a class number"),
        (table([[name, [0, 1] if i else 1] for i, name in enumerate(shards())]), "is not a class number"),
    ],
)  # fmt: skip
def test_a_table_that_is_not_valid_is_explained(make: Make, content: bytes, text: str) -> None:
    source = make(dict(zip(shards(), range(40), strict=True)) | {"dataset.json": content})
    with pytest.raises(gz.DataError, match=rf"dataset\.json.*{text}.*correct it, or rename it"):
        data.load(source)


def test_each_split_may_have_a_table_of_its_own(make: Make) -> None:
    files: dict[str, bytes | int] = {}
    for part, count in (("train", 20), ("test", 6)):
        files |= {f"{part}/{name}": i for i, name in enumerate(shards(count, 4))}
        files[f"{part}/dataset.json"] = table([[name, i % 2] for i, name in enumerate(shards(count, 4))])
    parts = both(make(files))
    assert [len(part) for part in parts] == [20, 6] and parts[0].classes == ("0", "1")
    assert counts(parts) == [13, 13]


@pytest.mark.parametrize(
    "names", [("train",), ("Train",), ("test",), ("val",), ("training",), ("val", "test")]
)
def test_a_split_without_its_other_half_is_not_part_of_a_class(make: Make, names: tuple[str, ...]) -> None:
    kinds = ("cats", "dogs")
    source = make({f"{names[i % len(names)]}/{kinds[i // 2 % 2]}/{i}.png": i for i in range(40)})
    parts = both(source)
    assert parts[0].classes == kinds and counts(parts) == [20, 20]
    assert sum(map(len, both(f"{source}:cats"))) == 20


def test_a_class_may_be_called_train(make: Make) -> None:
    parts = both(make({f"{('bus', 'car', 'train')[i % 3]}/{i}.png": i for i in range(30)}))
    assert parts[0].classes == ("bus", "car", "train")


def test_images_beside_the_folders_of_classes_are_warned_of(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    source = make({f"{'cats/' if i % 2 else ''}{i}.png": i for i in range(30)})
    data.load(source)
    assert "15 images beside the class folders become a class of their own" in capsys.readouterr().err


def test_what_systems_put_beside_pictures_is_skipped_at_any_depth(make: Make) -> None:
    files: dict[str, bytes | int] = {f"p{i}.png": i for i in range(12)}
    for junk in ("@eaDir/p1.png", "#recycle", "$RECYCLE.BIN/S-1-5", "lost+found", "__MACOSX", ".thumbnails",
                 "System Volume Information", "@Recycle"):  # fmt: skip
        files |= {f"{junk}/SYNOPHOTO_THUMB_M.jpg": 99, f"p.d/{junk}/x.png": 99, "._p1.png": b"\0\5\x16\7"}
    parts = both(make(files))
    assert sum(map(len, parts)) == 12 and parts[0].classes == ()


def test_all_suffixes_that_pillow_reads_are_read(make: Make) -> None:
    kinds = (
        "jfif",
        "jpe",
        "JPG",
        "jif",
        "pnm",
        "pbm",
        "dib",
        "tga",
        "pcx",
        "apng",
        "Png",
        "ico",
        "webp",
        "tif",
    )
    parts = both(
        make({f"{i}.{kind}": i for i, kind in enumerate(kinds)} | {"report.pdf": b"%PDF", "x.h5": b""})
    )
    assert sum(map(len, parts)) == len(kinds)


def test_pictures_that_cant_be_read_are_counted_in_one_line(
    make: Make, capsys: pytest.CaptureFixture[str]
) -> None:
    files: dict[str, bytes | int] = {f"{i}.png": i for i in range(12)}
    files |= {f"{i}.HEIC": b"x" for i in range(20)} | {"a.svg": b"<svg/>", "b.cr2": b"x", "notes.txt": b"x"}
    data.load(make(files))
    (line,) = capsys.readouterr().err.splitlines()
    assert "22 files of kinds that can't be read (.cr2, .heic, .svg) are left out" in line


def test_a_set_of_such_pictures_alone_is_explained(tmp_path: Path) -> None:
    (tmp_path / "a.heic").write_bytes(b"x")
    with pytest.raises(gz.DataError, match=r"contains no images .*1 files of kinds .*\(\.heic\): convert"):
        data.load(tmp_path)


def test_classes_whose_names_have_commas_and_colons(tmp_path: Path) -> None:
    for i in range(60):
        path = tmp_path / "odd" / ("a,b", "x:y", "a")[i % 3] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (8, 8), i).save(path)
    for wanted, classes in (
        ("a,b", ("a,b",)),
        ("x:y", ("x:y",)),
        ("a", ("a",)),
        ("x:y,a,b,a", ("x:y", "a,b", "a")),
    ):
        assert data.load(f"{tmp_path / 'odd'}:{wanted}").classes == classes


@pytest.mark.parametrize(
    "folders",
    [("train/cats", "train/dogs", "unlabeled/cats"), ("cats/train", "cats/test", "dogs/train", "dogs/test")],
    ids=str,
)
def test_a_split_never_becomes_a_class(folders: tuple[str, ...], tmp_path: Path) -> None:
    for i, folder in enumerate(folders):
        (tmp_path / folder).mkdir(parents=True)
        for j in range(4):
            Image.fromarray(np.full((8, 8), 10 * i + j, np.uint8)).save(tmp_path / folder / f"{j}.png")
    with pytest.raises(gz.DataError, match="are named after splits"):
        data.load(tmp_path)


def test_dev_is_a_test_split(tmp_path: Path) -> None:
    for i, folder in enumerate(("train/cats", "train/dogs", "dev/cats", "dev/dogs")):
        (tmp_path / folder).mkdir(parents=True)
        Image.fromarray(np.full((8, 8), 10 * i, np.uint8)).save(tmp_path / folder / "a.png")
    assert data.load(tmp_path).classes == ("cats", "dogs")
    assert len(data.load(tmp_path, split="test")) == 2


def test_files_without_a_suffix_and_zips_are_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / name)
    (tmp_path / "a.png").rename(tmp_path / "picture")
    (tmp_path / "more.zip").write_bytes(b"")
    data.load(tmp_path)
    assert (
        "2 files of kinds that can't be read (.zip, without a suffix) are left out" in capsys.readouterr().err
    )
