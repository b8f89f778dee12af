"""Tar shards: patterns, classes, random access, resume, damage under a limit."""

from __future__ import annotations

import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import TINY, run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import Stream, load, sums
from gantl_zoo.data.places import archive_of
from gantl_zoo.data.shards import expanded
from gantl_zoo.runs.recorder import RunRecorder

Make = Callable[..., str]


def picture(number: int) -> bytes:
    random = np.random.RandomState(number)
    file = io.BytesIO()
    Image.fromarray(random.randint(0, 255, (16, 16, 3), dtype=np.uint8)).save(file, "PNG")
    return file.getvalue()


def add(tar: tarfile.TarFile, name: str, content: bytes) -> None:
    info = tarfile.TarInfo(name)
    info.size = len(content)
    tar.addfile(info, io.BytesIO(content))


@pytest.fixture
def make(tmp_path: Path) -> Make:
    """What writes shards of ten images each, and gives their pattern."""

    def write(shards: int = 4, label: Callable[[int], str] | None = None, folder: str = "") -> str:
        for shard in range(shards):
            with tarfile.open(tmp_path / f"part-{shard:03}.tar", "w") as tar:
                for i in range(10 * shard, 10 * shard + 10):
                    add(tar, f"{folder}{i % 10:04}.png", picture(i))
                    if label is not None:
                        add(tar, f"{folder}{i % 10:04}.cls", label(i).encode())
                        add(tar, f"{folder}{i % 10:04}.seg.png", picture(0))
        return str(tmp_path / f"part-{{000..{shards - 1:03}}}.tar")

    return write


def test_shards_are_images_with_classes(make: Make) -> None:
    pattern = make(label=lambda i: f"{9 + i % 3}\n")
    parts = [load(pattern, split=split) for split in ("train", "test")]
    assert sum(map(len, parts)) == 40 and parts[0].classes == parts[1].classes == ("9", "10", "11")
    everything = {bytes(image.numpy().tobytes()): None for part in parts for image in part.images}
    assert len(everything) == 40
    for part in parts:
        assert part.labels is not None
        for image, label in zip(part.images, part.labels.tolist(), strict=True):
            number = next(i for i in range(40) if np.array_equal(_pixels(i), image.numpy()))
            assert label == number % 3
    assert len(load(f"{pattern}:10,9").classes) == 2


def _pixels(number: int) -> Any:
    return np.asarray(Image.open(io.BytesIO(picture(number)))).transpose(2, 0, 1)


def test_folders_within_a_shard_are_classes_and_shards_are_not(make: Make, tmp_path: Path) -> None:
    assert load(make()).classes == ()
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        for i in range(20):
            add(tar, f"./{'cat' if i % 2 else 'dog'}/{i}.png", picture(i))
    assert load(tmp_path / "one.tar").classes == ("cat", "dog")


def split_shards(tmp_path: Path, *names: str, folders: tuple[str, ...] = ("", "", "")) -> str:
    """A pattern of shards with these names, ten images each, in folders within the shards."""
    for shard, name in enumerate(names):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        with tarfile.open(tmp_path / f"{name}.tar", "w") as tar:
            for i in range(10):
                add(tar, f"{folders[shard]}{'cat' if i % 2 else 'dog'}/{i}.png", picture(10 * shard + i))
    return str(tmp_path / f"{{{','.join(names)}}}.tar")


@pytest.mark.parametrize(
    "names",
    [("a-train-0", "a-train-1", "a-val-0"), ("train/0", "train/1", "Test/0"), ("training", "t", "dev")],
)
def test_shards_that_are_named_after_splits_are_the_splits(tmp_path: Path, names: tuple[str, ...]) -> None:
    pattern = split_shards(tmp_path, *names)
    if names[1] == "t":
        with pytest.raises(gz.DataError, match="a training and a test folder, and beside them t: keep"):
            load(pattern)
        return
    train, test = (load(pattern, split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (20, 10) and train.classes == test.classes == ("cat", "dog")
    assert all(
        any(np.array_equal(_pixels(20 + i), image.numpy()) for i in range(10)) for image in test.images
    )


def test_shards_with_splits_inside_or_of_one_kind_keep_them(tmp_path: Path) -> None:
    inside = split_shards(tmp_path / "a", "train-0", "test-0", folders=("train/", "test/"))
    parts = [load(inside, split=split) for split in ("train", "test")]
    assert [(len(part), part.classes) for part in parts] == [(10, ("cat", "dog"))] * 2
    pattern = split_shards(tmp_path / "b", "train-0", "train-1", "extra-0")
    assert sum(len(load(pattern, split=split)) for split in ("train", "test")) == 30
    assert 0 < len(load(pattern, split="test")) < 10


def test_shards_have_the_images_of_a_folder(make: Make, tmp_path: Path) -> None:
    pattern = make()
    (tmp_path / "folder").mkdir()
    for i in range(40):
        (tmp_path / "folder" / f"part-{i // 10:03}-{i % 10:04}.png").write_bytes(picture(i))
    for split in ("train", "test"):
        shards, folder = load(pattern, split=split), load(tmp_path / "folder", split=split)
        assert torch.equal(shards.images, folder.images) and shards.fingerprint == folder.fingerprint


def ends_at_four(self: RunRecorder, done: int) -> None:
    if done == 4:
        raise OSError("the machine is gone")


def test_a_run_on_shards_resumes_to_the_exact_image(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = make(label=lambda i: str(i % 2))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    settings = TINY | {"image_size": 28, "channels": 1, "engine_config": {"workers": 0}}
    whole = gz.train("dcgan", data=os.path.basename(pattern), out=tmp_path / "a", **settings)
    with monkeypatch.context() as patch:
        patch.setattr(RunRecorder, "on_step", ends_at_four)
        with pytest.raises(OSError, match="the machine is gone"):
            gz.train("dcgan", data=os.path.basename(pattern), out=tmp_path / "b", **settings)
    monkeypatch.chdir("/")  # the pattern was relative
    (folder,) = (tmp_path / "b").iterdir()
    again = gz.resume(folder)
    assert isinstance(again, gz.GAN)
    assert torch.equal(whole.generate(3), again.generate(3))


@pytest.mark.parametrize("cut", [0, 700, 4000, 9000])
def test_a_damaged_shard_is_named_and_left_out(
    make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str], cut: int
) -> None:
    pattern = make(30)
    path = tmp_path / "part-007.tar"
    content = path.read_bytes()
    path.write_bytes(content[:cut] if cut != 700 else b"<html>" * 200)
    data = load(pattern)
    text = capsys.readouterr().err
    held = len(data) + len(load(pattern, split="test"))
    assert 290 <= held < 300 and "1 of 30 shards are damaged: part-007.tar" in text and "left out" in text
    assert (cut < 1000) == (held == 290)


def test_a_header_that_is_overwritten_is_damage(make: Make, tmp_path: Path) -> None:
    make(1)
    path = tmp_path / "part-000.tar"
    content = bytearray(path.read_bytes())
    with tarfile.open(path) as tar:
        middle = tar.getmembers()[5].offset
    content[middle : middle + 512] = b"x" * 512
    path.write_bytes(content)
    with pytest.raises(gz.DataError, match=r"part-000.tar \(no valid header at byte .*more than 5% of the"):
        load(path)


def test_too_much_damage_is_refused(make: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pattern = make(4)
    (tmp_path / "part-002.tar").write_bytes(b"\1" * 30_000)
    code, _, text = run(capsys, "data", pattern)
    assert code == 1 and "1 of 4 shards are damaged: part-002.tar" in text and len(text.splitlines()) == 1
    (tmp_path / "part-002.tar").unlink()
    with pytest.raises(gz.DataError, match=r"1 of 4 shards do not exist: .*part-002.tar"):
        load(pattern)


def test_damaged_images_in_shards_are_named(
    make: Make, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pattern = make(2)
    with tarfile.open(tmp_path / "part-001.tar", "w") as tar:
        for i in range(10):
            add(tar, f"{i:04}.png", picture(i + 50) if i else b"no image")
    count = len(load(pattern, split="train"))
    assert count >= 15 and "part-001.tar/0000.png" in capsys.readouterr().err + str(
        load(pattern, split="test").name
    )


def test_missing_labels_are_an_error(make: Make, tmp_path: Path) -> None:
    pattern = make(1, label=str)
    with tarfile.open(tmp_path / "part-000.tar", "a") as tar:
        add(tar, "extra.png", picture(77))
    with pytest.raises(gz.DataError, match=r"1 of 11 images have no label, such as part-000.tar/extra.png"):
        load(pattern)


def test_patterns() -> None:
    assert expanded("a.tar") == ["a.tar"]
    assert expanded("x-{08..11}.tar") == ["x-08.tar", "x-09.tar", "x-10.tar", "x-11.tar"]
    assert expanded("{b,a}/{0..1}.tar") == ["b/0.tar", "b/1.tar", "a/0.tar", "a/1.tar"]
    for wrong in ("{3..1}.tar", "{0..999999999}.tar", "{000..999}{000..999}.tar"):
        with pytest.raises(gz.DataError):
            expanded(wrong)


def test_the_index_of_a_shard_is_read_once(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantl_zoo.data import shards

    monkeypatch.setattr(sums, "WORTH", 1)
    monkeypatch.setattr(sums, "SETTLED", -1)
    pattern = make(2)
    first = archive_of(Path(pattern)).paths()
    shards.shard_at.cache_clear()
    read: list[str] = []
    original = shards._read
    monkeypatch.setattr(shards, "_read", lambda path: read.append(path) or original(path))  # type: ignore[func-returns-value]
    assert archive_of(Path(pattern)).paths() == first and not read
    with tarfile.open(tmp_path / "part-001.tar", "a") as tar:
        add(tar, "more.png", picture(99))
    assert len(archive_of(Path(pattern)).paths()) == 21 and read == [str(tmp_path / "part-001.tar")]
    shards.shard_at.cache_clear()
    for table in (tmp_path / "cache" / "sums").iterdir():
        table.write_text(json.dumps({"format": 1, "place": "x", "content": {}}))
    assert len(archive_of(Path(pattern)).paths()) == 21


def test_a_shard_that_is_cut_in_use_is_named(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = make(2)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    monkeypatch.setenv("GANTL_ZOO_CACHE", "off")
    images = load(pattern, image_size=16).images
    assert isinstance(images, Stream)
    os.truncate(tmp_path / "part-001.tar", 600)
    with pytest.raises(gz.DataError, match=r"part-001.tar/.*shards are damaged"):
        images[:]


def test_a_relative_pattern_names_the_same_files(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = make(2)
    monkeypatch.chdir(tmp_path)
    assert archive_of(Path(os.path.basename(pattern))).paths() == archive_of(Path(pattern)).paths()
    os.rename("part-000.tar", "x{1..2}.tar")
    assert len(archive_of(Path("x{1..2}.tar")).paths()) == 10


def test_hidden_files_of_macos_are_not_images(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "one.tar", "w") as tar:
        for i in range(10):
            add(tar, f"._{i}.png", b"finder")
            add(tar, f"{i}.png", picture(i))
            add(tar, f"{i}.cls", b"1")
    parts = [load(tmp_path / "one.tar", split=split) for split in ("train", "test")]
    assert sum(map(len, parts)) == 10


def test_a_shard_that_is_replaced_in_use_gives_no_other_image(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pattern = make(2)
    archive = archive_of(Path(pattern))
    assert archive.read("part-001.tar/0003.png") == picture(13)
    os.replace(tmp_path / "part-000.tar", tmp_path / "part-001.tar")
    with pytest.raises(OSError, match=r"part-001\.tar has changed"):
        archive.read("part-001.tar/0003.png")


def test_an_error_of_the_system_is_not_kept(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantl_zoo.data import shards

    monkeypatch.setattr(sums, "WORTH", 1)
    monkeypatch.setattr(sums, "SETTLED", -1)
    pattern = make(2)

    def fails(*_: Any, **__: Any) -> None:
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patch:
        patch.setattr(tarfile, "open", fails)
        with pytest.raises(gz.DataError, match=r"shards are damaged: part-000.tar \(Input/output error"):
            load(pattern)
    shards.shard_at.cache_clear()
    assert len(archive_of(Path(pattern)).paths()) == 20
