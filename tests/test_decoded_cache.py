"""Decoded images are kept on disk: written once, shared, bounded, removable, and never trusted if damaged."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import run
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import ImageData, Stream, files, load, rows, sums
from gantl_zoo.data.archive import Folder
from gantl_zoo.data.decode import decode
from gantl_zoo.storage import kept


@pytest.fixture
def streamed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Images are streamed, whatever their size, and those of an earlier process are not in memory."""
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    monkeypatch.setattr(sums, "_tables", {})


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """The number of bytes of each image file that is decoded."""
    seen: list[int] = []
    original = files.decode

    def counting(content: bytes, *rest: Any, **settings: Any) -> Any:
        seen.append(len(content))
        return original(content, *rest, **settings)

    monkeypatch.setattr(files, "decode", counting)
    yield seen


def stream_of(data: ImageData) -> Stream:
    assert isinstance(data.images, Stream)
    return data.images


def cached(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "cache" / "images").glob("*.images"))


def test_the_second_reading_decodes_nothing(
    photos: Path, tmp_path: Path, streamed: None, decodings: list[int]
) -> None:
    first = load(photos, image_size=16)
    assert len(decodings) == len(first) and len(cached(tmp_path)) == 1
    shutil.move(photos, tmp_path / "elsewhere")  # found by content, not by name
    second = load(tmp_path / "elsewhere", image_size=16)
    assert torch.equal(second.images[:], first.images[:]) and second.fingerprint == first.fingerprint
    order = [torch.tensor([3, 1]), torch.tensor([0])] * 8
    batches = list(stream_of(second).batches(iter(order), 2))
    assert all(torch.equal(a, second.images[index]) for a, index in zip(batches, order, strict=True))
    assert len(batches) == 16 and len(decodings) == len(first) and second.changes == first.changes


def test_other_files_sizes_and_fits_have_files_of_their_own(
    photos: Path, tmp_path: Path, streamed: None
) -> None:
    before = [load(photos, image_size=16), load(photos, image_size=16, fit="pad"), load(photos, image_size=8)]
    assert len(cached(tmp_path)) == 3
    assert not torch.equal(before[0].images[:], before[1].images[:])
    name = stream_of(before[0]).names[4]
    Image.new("RGB", (20, 20), "red").save(photos / name)
    after = load(photos, image_size=16)
    assert after.fingerprint != before[0].fingerprint and len(cached(tmp_path)) == 4
    at = stream_of(after).names.index(name)
    assert (after.images[torch.tensor([at])][0, 0] == 255).all()


def test_another_version_of_pillow_decodes_again(
    photos: Path, tmp_path: Path, streamed: None, decodings: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    count = len(load(photos, image_size=16))
    monkeypatch.setattr("PIL.__version__", "0.0")
    load(photos, image_size=16)
    assert len(decodings) == 2 * count and len(cached(tmp_path)) == 2


def test_grey_images_among_colours_stay_what_they_are(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for path in list(photos.rglob("*.png"))[::3]:
        Image.open(path).convert("L").save(path)
    whole = load(photos, image_size=16)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    for again in (load(photos, image_size=16), load(photos, image_size=16)):
        assert torch.equal(again.images[:], whole.images[:])
    grey = load(photos, image_size=16, channels=1)
    assert torch.equal(grey.images[:], whole.fit(None, 1).images)


def test_damaged_images_are_named_again(
    photos: Path, streamed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    damaged = stream_of(load(photos, image_size=16)).names[5]
    (photos / damaged).write_bytes(b"no image")
    texts = []
    for _ in range(2):
        assert len(load(photos, image_size=16)) == 26
        texts.append(capsys.readouterr().err)
    assert texts[0] == texts[1] and damaged in texts[0]


def test_a_refused_set_is_not_kept(photos: Path, tmp_path: Path, streamed: None) -> None:
    for path in list(photos.rglob("*.png"))[:10]:
        path.write_bytes(b"no image %d" % id(path))
    for _ in range(2):
        with pytest.raises(gz.DataError, match="is too many"):
            load(photos, image_size=16)
    assert os.listdir(tmp_path / "cache" / "images") == [
        name for name in os.listdir(tmp_path / "cache" / "images") if name.endswith(".lock")
    ]


@pytest.mark.parametrize("damage", ["cut", "cut table", "empty", "other", "noise"])
def test_a_damaged_file_is_written_again(
    photos: Path, tmp_path: Path, streamed: None, capsys: pytest.CaptureFixture[str], damage: str
) -> None:
    whole = load(photos, image_size=16).images[:]
    (path,) = cached(tmp_path)
    content = path.read_bytes()
    noise = content[:-200] + bytes(100) + content[-100:]
    texts = {
        "cut": content[:500],
        "cut table": content[100:],
        "empty": b"",
        "other": b"PK" * 500,
        "noise": noise,
    }
    path.write_bytes(texts[damage])
    again = load(photos, image_size=16)
    assert torch.equal(again.images[:], whole) and path.read_bytes() == content
    assert "the images are decoded again" in capsys.readouterr().err


def test_a_file_that_is_truncated_or_removed_in_use_costs_time_only(
    photos: Path, tmp_path: Path, streamed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    for harm in (lambda path: path.unlink(), lambda path: os.truncate(path, 16 * 16 * 3 * 6)):
        images = stream_of(load(photos, image_size=16))
        expected = images[:]
        batches = images.batches(iter(torch.arange(len(images)).split(2)), 0)
        assert torch.equal(next(batches), expected[:2])
        (path,) = cached(tmp_path)
        harm(path)
        capsys.readouterr()
        assert torch.equal(torch.cat(list(batches)), expected[2:])
        assert capsys.readouterr().err.count("the files are decoded again") == 1
        assert torch.equal(images[:], expected)


def test_a_full_disk_costs_time_only(
    photos: Path,
    tmp_path: Path,
    streamed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    decodings: list[int],
) -> None:
    original = rows.Writer.add

    def full(self: rows.Writer, pixels: Any) -> None:
        if len(self.lengths) == 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        original(self, pixels)

    truncated: list[int] = []  # the space is given back before the other images are decoded
    monkeypatch.setattr(os, "ftruncate", lambda file, size: truncated.append(size))
    monkeypatch.setattr(rows.Writer, "add", full)
    data = load(photos, image_size=16)
    text = capsys.readouterr().err
    assert "decoded images are not kept" in text and "No space left on device" in text
    assert len(decodings) == len(data) and not cached(tmp_path) and truncated == [0]
    assert [p.name for p in (tmp_path / "cache" / "images").iterdir() if not p.name.endswith(".lock")] == []
    assert data.images[:].shape == (27, 3, 16, 16)


def test_images_of_different_sizes_are_not_kept(
    photos: Path, tmp_path: Path, streamed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for i, path in enumerate(sorted(photos.rglob("*.png"))):
        Image.fromarray(np.full((9, 900 if i % 3 else 9, 3), i, np.uint8)).save(path)
    written: list[int] = []
    original = rows.Writer.add

    def counted(self: rows.Writer, pixels: Any) -> None:
        original(self, pixels)
        written.append(pixels.nbytes)

    monkeypatch.setattr(rows.Writer, "add", counted)
    with pytest.raises(gz.DataError, match="images of different sizes"):
        load(photos)
    assert not cached(tmp_path) and sum(written) <= 30 * 3 * 9 * 9  # what was planned for the first


@pytest.mark.parametrize("harm", ["changed", "unreadable"])
def test_a_file_that_is_not_the_one_that_was_hashed_is_not_kept(
    photos: Path,
    tmp_path: Path,
    streamed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    harm: str,
) -> None:
    whole = stream_of(load(photos, image_size=8))
    name, original = whole.names[3], Folder.read

    def other(self: Folder, path: str) -> bytes:
        if path == name and harm == "unreadable":
            raise OSError(errno.EMFILE, "Too many open files")
        return original(self, whole.names[4] if path == name else path)

    with monkeypatch.context() as patch:
        patch.setattr(Folder, "read", other)
        assert len(load(photos, image_size=16)) == (26 if harm == "unreadable" else 27)
        assert "decoded images are not kept: they may change" in capsys.readouterr().err
    assert len(cached(tmp_path)) == 1 and len(load(photos, image_size=16)) == 27
    assert len(cached(tmp_path)) == 2 and capsys.readouterr().err == ""


def test_what_can_not_be_removed_costs_time_only(
    photos: Path,
    tmp_path: Path,
    streamed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(photos, image_size=16)
    monkeypatch.setenv("GANTL_ZOO_CACHE_LIMIT", str(27 * 3 * 16 * 16))

    def in_use(self: Path, missing_ok: bool = False) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "unlink", in_use)
    assert len(load(photos, image_size=15)) == 27
    text = capsys.readouterr().err
    assert "decoded images are not kept: can't remove" in text and len(cached(tmp_path)) == 1


def test_what_a_killed_process_left_is_listed_and_removed(
    photos: Path, tmp_path: Path, streamed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    load(photos, image_size=8)
    left = tmp_path / "cache" / "images" / ".0123456789abcdef.images"
    left.write_bytes(b"half")
    assert left in [entry.path for entry in kept.entries()]
    assert run(capsys, "cache", "remove", "images/.0123")[0] == 0 and not left.exists()
    assert len(cached(tmp_path)) == 1


def test_a_cache_that_cant_be_written_costs_time_only(
    photos: Path,
    tmp_path: Path,
    streamed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GANTL_ZOO_CACHE", str(tmp_path / "file"))
    assert load(photos, image_size=16).images[:].shape == (27, 3, 16, 16)
    assert "can't be written" in capsys.readouterr().err
    monkeypatch.setenv("GANTL_ZOO_CACHE", "off")
    assert load(photos, image_size=16).images[:].shape == (27, 3, 16, 16)
    assert capsys.readouterr().err == ""


def test_the_least_recently_used_make_room(
    photos: Path, tmp_path: Path, streamed: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for size in (8, 9, 10):
        load(photos, image_size=size)
    eight, nine, ten = (next(p for p in cached(tmp_path) if f"-{size}px-" in p.name) for size in (8, 9, 10))
    for path, age in ((eight, 100), (nine, 300), (ten, 200)):
        os.utime(path, (path.stat().st_mtime - age,) * 2)
    load(photos, image_size=8)
    held = sum(path.stat().st_size for path in (eight, ten))
    monkeypatch.setenv("GANTL_ZOO_CACHE_LIMIT", str(held + 27 * 3 * 11 * 11))
    load(photos, image_size=11)
    assert not nine.exists() and eight.exists() and ten.exists() and len(cached(tmp_path)) == 3


def test_a_set_larger_than_the_limit_is_streamed_from_its_files(
    photos: Path,
    tmp_path: Path,
    streamed: None,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    load(photos, image_size=8)
    monkeypatch.setenv("GANTL_ZOO_CACHE_LIMIT", "20000")
    assert len(load(photos, image_size=16)) == 27 and len(cached(tmp_path)) == 1
    assert "the cache may hold 0.0 GB" in capsys.readouterr().err
    for wrong in ("2 GB", "2²"):
        monkeypatch.setenv("GANTL_ZOO_CACHE_LIMIT", wrong)
        with pytest.raises(gz.DataError, match=f"'{wrong}' is not a valid number of bytes"):
            load(photos, image_size=16)


TWO = """
import sys
from gantl_zoo.data import files, load
count, original = 0, files.decode
def counting(*words, **settings):
    global count
    count += 1
    return original(*words, **settings)
files.decode = counting
print(load(sys.argv[1], image_size=16).images[:].sum().item(), count)
"""


def test_two_processes_at_once_decode_once(photos: Path, tmp_path: Path, streamed: None) -> None:
    words = [sys.executable, "-c", TWO, str(photos)]
    both = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    sums_and_counts = [process.communicate()[0].split() for process in both]
    assert sums_and_counts[0][0] == sums_and_counts[1][0]
    assert sorted(int(count) for _, count in sums_and_counts) == [0, 27] and len(cached(tmp_path)) == 1


def jpegs(folder: Path, count: int = 12, side: int = 96) -> Path:
    folder.mkdir()
    random = np.random.RandomState(0)
    for i in range(count):
        small = Image.fromarray(random.randint(0, 255, (6, 4, 3), dtype=np.uint8))
        picture = small.resize((side, side + 40), Image.Resampling.BICUBIC)
        exif = Image.Exif()
        exif[0x0112] = 6 if i == 3 else 1
        picture.save(folder / f"{i:02}.jpg", quality=95, exif=exif)
    return folder


def test_jpegs_are_decoded_at_a_reduced_scale(tmp_path: Path) -> None:
    folder = jpegs(tmp_path / "jpegs")
    for path in sorted(folder.iterdir()):
        exact, fast = (decode(path.read_bytes(), 24, fast=fast) for fast in (False, True))
        assert fast.reduced and not exact.reduced and fast.size == exact.size and fast.deep == exact.deep
        difference = np.abs(fast.pixels.astype(int) - exact.pixels)
        assert difference.mean() < 2 and 0 < difference.max() < 16
    content = (folder / "00.jpg").read_bytes()
    assert not decode(content, 49, fast=True).reduced and not decode(content, None, fast=True).reduced


def test_images_that_fit_into_memory_are_exact_wherever_they_come_from(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = jpegs(tmp_path / "jpegs")
    whole = load(folder, image_size=24)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", str(3 * 24 * 24 * 5))
    streaming = load(folder, image_size=24)
    assert stream_of(streaming).exact is not None
    few = streaming.few(4, seed=1)
    assert torch.equal(few.images, whole.few(4, seed=1).images)
    assert few.fingerprint == whole.few(4, seed=1).fingerprint
    monkeypatch.setenv("GANTL_ZOO_CACHE", "off")
    again = load(folder, image_size=24)  # from the cache and from the files: the same pixels
    assert torch.equal(again.images[:], streaming.images[:])


def test_the_cache_is_listed_and_removed(
    photos: Path, tmp_path: Path, streamed: None, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(capsys, "cache", "list") == (0, "the cache is empty\n", "")
    for size in (8, 16):
        load(photos, image_size=size)
    code, out, _ = run(capsys, "cache", "list", "--kind", "images", "--json")
    listed = json.loads(out)
    assert code == 0 and [row["kind"] for row in listed] == ["images", "images"]
    assert {row["path"] for row in listed} == set(map(str, cached(tmp_path)))
    code, out, _ = run(capsys, "cache", "list")
    assert code == 0 and listed[0]["name"] in out and "total" in out and "photos-8px" in out
    assert run(capsys, "cache", "remove", "")[0] == 2 and len(cached(tmp_path)) == 2
    code, out, _ = run(capsys, "cache", "remove", "images/photos-8px")
    name = next(row["name"] for row in listed if "photos-8px" in row["name"])
    assert code == 0 and f"removed {name}\n" in out and len(cached(tmp_path)) == 1
    code, _, text = run(capsys, "cache", "remove", "images/fotos")
    assert code == 2 and "images/fotos" in text and len(text.splitlines()) == 1
    for words in ((), ("--all", "images/photos")):
        assert run(capsys, "cache", "remove", *words)[0] == 2
    assert run(capsys, "cache", "remove", "--all", "--kind", "image")[0] == 2
    assert run(capsys, "cache", "remove", "--all")[0] == 0 and not kept.entries()
    assert os.listdir(tmp_path / "cache" / "images") == []


def test_checksums_are_kept_beside_the_cache(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sums, "WORTH", 1)
    monkeypatch.setattr(sums, "SETTLED", -1)
    names = [path.relative_to(photos).as_posix() for path in sorted(photos.rglob("*.png"))]
    first = sums.sums_of_files(photos, names)
    (table,) = (tmp_path / "cache" / "sums").iterdir()
    read: list[str] = []
    original = sums._row
    monkeypatch.setattr(sums, "_row", lambda path: read.append(path) or original(path))  # type: ignore[func-returns-value]
    monkeypatch.setattr(sums, "_tables", {})
    assert sums.sums_of_files(photos, names) == first and not read
    about = os.stat(photos / names[0])
    content = bytearray((photos / names[0]).read_bytes())
    content[-20] ^= 1
    (photos / names[0]).write_bytes(content)  # of the same size
    os.utime(photos / names[0], ns=(about.st_atime_ns, about.st_mtime_ns))  # and of the same time
    (photos / names[1]).unlink()
    again = sums.sums_of_files(photos, names)
    assert again[names[0]] != first[names[0]] and again[names[1]] == (0, 0)
    assert {name for name in names if again[name] != first[name]} == set(names[:2]) and len(read) == 2
    for damaged in (b"", b"[]", b"{", table.read_bytes().replace(b'"format": 1', b'"format": 0')):
        table.write_bytes(damaged)
        monkeypatch.setattr(sums, "_tables", {})
        read.clear()
        assert sums.sums_of_files(photos, names) == again and len(read) == len(names)


def test_the_content_of_files_of_which_the_system_says_little(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "file"
    usual = os.read
    for content in (b"", b"x", bytes(range(256)) * 300):
        file.write_bytes(content)
        assert sums.content_of(str(file))[0] == content
        with monkeypatch.context() as patch:
            patch.setattr(sums.os, "read", lambda file, size: usual(file, min(size, 7)))  # short reads
            assert sums.content_of(str(file))[0] == content
        with monkeypatch.context() as patch:
            patch.setattr(sums.os, "fstat", lambda file: os.stat("/dev/null"))  # a size of 0
            assert sums.content_of(str(file))[0] == content
    with pytest.raises(FileNotFoundError):
        sums.content_of(str(tmp_path / "missing"))


def test_a_file_that_changed_just_now_is_read_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sums, "_tables", {})
    name = "cats/1.png"
    for content in (b"one", b"two"):  # of one size, within one tick of a coarse clock
        (photos / name).write_bytes(content)
        now = lambda path, content=content: (content, (3, sums.time.time_ns(), 0))  # noqa: E731
        monkeypatch.setattr(sums, "content_of", now)
        assert sums.sums_of_files(photos, [name])[name] == (zlib.crc32(content), 3)
    assert not sums._tables[str(photos)]


def test_links_and_folders_without_permission_are_walked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    (tmp_path / "a" / "b" / "x.png").write_bytes(b"")
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    (tmp_path / "a" / "self.png").symlink_to(tmp_path / "a" / "self.png")
    (tmp_path / "a" / "link.png").symlink_to(tmp_path / "a" / "b" / "x.png")
    assert sorted(Folder(tmp_path / "a").paths()) == ["b/x.png", "link.png"]
