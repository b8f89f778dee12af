"""The report on a data set: what is counted, what is found, and that bad files never stop it."""

from __future__ import annotations

import io
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageFilter

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.cli.app import main
from gantl_zoo.data import similar


def scene(seed: int, size: tuple[int, int] = (48, 48)) -> Image.Image:
    """A smooth picture that is unlike those of other seeds."""
    small = np.random.RandomState(seed).randint(0, 255, (6, 6, 3), dtype=np.uint8)
    return Image.fromarray(small).resize(size, Image.Resampling.BICUBIC)


@pytest.fixture
def mixed(tmp_path: Path) -> Path:
    """Twenty good pictures of two classes and two sizes, and one of each kind of trouble."""
    folder = tmp_path / "mixed"
    for i in range(20):
        place = folder / ("cats" if i % 2 else "dogs")
        place.mkdir(parents=True, exist_ok=True)
        scene(i, (48, 48) if i < 12 else (80, 40)).save(place / f"{i:02}.png")
    shutil.copy(folder / "dogs" / "00.png", folder / "cats" / "copy.png")
    scene(1).save(folder / "cats" / "saved-again.jpg", quality=80)
    scene(3).resize((200, 200)).save(folder / "cats" / "larger.png")
    clear = scene(30).convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    clear.save(folder / "dogs" / "clear.png")
    scene(31).convert("L").save(folder / "dogs" / "grey.png")
    scene(32).convert("L").convert("RGB").save(folder / "dogs" / "grey-rgb.png")
    exif = Image.Exif()
    exif[0x112] = 6
    scene(33, (40, 80)).save(folder / "dogs" / "turned.jpg", exif=exif)
    (folder / "dogs" / "broken.png").write_bytes(b"not an image")
    (folder / "dogs" / "photo.heic").write_bytes(b"x")
    (folder / "notes.txt").write_text("x")
    (folder / "@eaDir").mkdir()
    (folder / "@eaDir" / "thumb.jpg").write_bytes(b"x")
    return folder


def test_everything_in_a_folder_is_counted(mixed: Path, capsys: pytest.CaptureFixture[str]) -> None:
    report = gz.check_data(mixed)
    assert (report.images, report.kinds) == (27, {".png": 25, ".jpg": 2})
    assert report.sizes == {"48×48": 17, "80×40": 9, "200×200": 1}
    assert report.classes == {"cats": 13, "dogs": 14}
    assert report.left_out == {".heic": 1} and report.others == {".txt": 1} and report.junk == 1
    assert list(report.damaged) == ["dogs/broken.png"] and "format" in report.damaged["dogs/broken.png"]
    assert (report.grey, report.grey_rgb, report.transparent, report.turned) == (1, 1, 1, 1)
    assert report.not_square == 9 and report.worst_cuts["dogs/turned.jpg"] == 0.5
    assert report.mean_cut == pytest.approx(9 * 0.5 / 27)
    assert set(report.copies) == {("cats/copy.png", "dogs/00.png")}
    assert {frozenset(group) for group in report.near_duplicates} == {
        frozenset({"cats/01.png", "cats/saved-again.jpg"}), frozenset({"cats/03.png", "cats/larger.png"}),
    }  # fmt: skip
    assert (report.image_size, report.channels) == (32, 3)
    assert report.next == f"gantl-zoo transfer {start()} --data {mixed} --fit pad"
    assert capsys.readouterr() == ("", ""), "warnings are part of the report"


def start() -> str:
    return "dcgan-faces" if "dcgan-faces" in gz.models else "dcgan-mnist"


def test_the_report_splits_as_training_does(mixed: Path) -> None:
    (mixed / "dogs" / "broken.png").unlink()
    report = gz.check_data(mixed)
    train, test = (data.load(mixed, split=split, image_size=32) for split in ("train", "test"))
    assert (report.images - report.held_out, report.held_out) == (len(train), len(test))
    assert tuple(report.classes) == train.classes


def test_a_zip_gives_the_same_report(mixed: Path, tmp_path: Path) -> None:
    archive = shutil.make_archive(str(tmp_path / "mixed"), "zip", tmp_path, "mixed")
    zipped, folder = gz.check_data(archive).to_dict(), gz.check_data(mixed).to_dict()
    for key in (
        "images",
        "held_out",
        "kinds",
        "sizes",
        "classes",
        "left_out",
        "others",
        "junk",
        "grey",
        "mean_cut",
    ):
        assert zipped[key] == folder[key], key


def test_the_text_names_what_was_found(mixed: Path) -> None:
    text = str(gz.check_data(mixed))
    assert all(len(line) <= 100 or line.startswith("next") for line in text.splitlines())
    for part in ("cats/copy.png = dogs/00.png", "cats/01.png", "1 transparent (flattened on white)",
                 "broken.png", ".heic (1)", "--fit pad", "classes   2: cats (13), dogs (14)"):  # fmt: skip
        assert part in " ".join(text.split()) or part in text, part
    clean = str(gz.check_data("portraits"))
    for absent in ("copies", "similar", "leaks", "damaged", "warning", "problem", "left out"):
        assert absent not in clean


def test_copies_on_both_sides_of_the_split_are_leaks(tmp_path: Path) -> None:
    for i in range(12):
        place = tmp_path / "set" / ("train" if i < 9 else "test")
        place.mkdir(parents=True, exist_ok=True)
        scene(i).save(place / f"{i}.png")
    shutil.copy(tmp_path / "set/train/0.png", tmp_path / "set/test/0.png")
    scene(1).save(tmp_path / "set/test/again.jpg", quality=80)
    report = gz.check_data(tmp_path / "set")
    assert report.split == "by the folders test and train" and report.held_out == 5
    assert {frozenset(group) for group in report.leaks} == {
        frozenset({"train/0.png", "test/0.png"}), frozenset({"train/1.png", "test/again.jpg"}),
    }  # fmt: skip
    assert "both sides of the split" in str(report) and "too good" in str(report)


def test_a_third_folder_of_a_split_is_not_used(tmp_path: Path) -> None:
    for i, split in enumerate(["train"] * 5 + ["test"] * 3 + ["val"] * 2):
        (tmp_path / split).mkdir(exist_ok=True)
        scene(i).save(tmp_path / split / f"{i}.png")
    assert "2 images are in neither the training nor the test folder" in str(gz.check_data(tmp_path).warnings)


@pytest.mark.parametrize("count", [1, 3, 9])
def test_few_images_hold_nothing_out(tmp_path: Path, count: int) -> None:
    for i in range(count):
        scene(i).save(tmp_path / f"{i}.png")
    report = gz.check_data(tmp_path)
    assert (report.images, report.held_out, report.split) == (count, 0, "fewer than 10 images")


def test_bad_files_never_stop_the_check(tmp_path: Path) -> None:
    scene(0).save(tmp_path / "good.png")
    content = (tmp_path / "good.png").read_bytes()
    bad: dict[str, bytes] = {
        "cut.png": content[:200], "empty.png": b"", "zeros.png": bytes(500), "lfs.png": b"version https://git-lfs",
        "page.jpg": b"<html>",
    }  # fmt: skip
    for name, text in bad.items():
        (tmp_path / name).write_bytes(text)
    values = io.BytesIO()
    Image.fromarray(np.zeros((8, 8), np.float32)).save(values, "TIFF")
    (tmp_path / "float.tif").write_bytes(values.getvalue())
    (tmp_path / "link.png").symlink_to(tmp_path / "nowhere.png")
    report = gz.check_data(tmp_path)
    assert report.images == 1 and set(report.damaged) == {*bad, "float.tif"}
    assert "more than 5% of the images are damaged" in report.problems[0]


def test_folders_that_training_refuses_are_a_problem(tmp_path: Path) -> None:
    for i, place in enumerate(["a/train", "a/test", "b/train", "b/test"] * 3):
        (tmp_path / place).mkdir(parents=True, exist_ok=True)
        scene(i).save(tmp_path / place / f"{i}.png")
    with pytest.raises(gz.DataError, match="named after splits"):
        data.load(tmp_path, image_size=8)
    report = gz.check_data(tmp_path)
    assert report.images == 12 and "named after splits" in report.problems[0]


def test_without_an_image_there_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(gz.DataError, match="contains no images such as"):
        gz.check_data(tmp_path)
    (tmp_path / "b.png").write_bytes(b"")
    with pytest.raises(gz.DataError, match=r"none of 1 images can be read, such as b.png \(it is empty"):
        gz.check_data(tmp_path)
    for source, text in [
        (tmp_path / "none", "does not exist"),
        ("digitss", "did you mean digits"),
        (None, "data is not valid"),
        (tmp_path / "a.txt", "neither a folder nor a readable zip"),
        (f"{tmp_path}:a", "only a whole folder"),
    ]:
        with pytest.raises(gz.DataError, match=text):
            gz.check_data(source)
    with pytest.raises(gz.UsageError, match="unknown fit"):
        gz.check_data("digits", fit="x")


@pytest.mark.parametrize("source", ["digits", "memory"])
def test_names_and_memory_are_checked_too(source: str) -> None:
    pixels = torch.randint(0, 255, (12, 3, 20, 30), dtype=torch.uint8)
    report = gz.check_data(torch.cat([pixels, pixels[:1]]) if source == "memory" else source)
    if source == "digits":
        assert (report.images, report.held_out, len(report.classes), report.channels) == (1797, 359, 10, 1)
    else:
        assert report.copies == (("train 0", "train 12"),) and report.sizes == {"30×20": 13}
    assert report.sheet().width > 500


def test_to_dict_is_json(mixed: Path) -> None:
    kept = json.loads(json.dumps(gz.check_data(mixed).to_dict()))
    assert kept["images"] == 27 and kept["copies"] == [["cats/copy.png", "dogs/00.png"]]
    assert not {"memory", "spread"} & set(kept)


@pytest.mark.parametrize(
    ("sides", "size", "enlarged"),
    [((300, 200), 128, 0), ((70, 90), 64, 0), ((20, 50), 28, 12), ((40, 31), 28, 0)],
)
def test_the_size_is_one_that_networks_make(tmp_path: Path, sides: Any, size: int, enlarged: int) -> None:
    for i in range(12):
        scene(i, sides).save(tmp_path / f"{i}.png")
    report = gz.check_data(tmp_path)
    assert (report.image_size, report.enlarged) == (size, enlarged)
    gz.generators.build("dcgan", image_size=report.image_size, width=2)
    assert gz.check_data(tmp_path, image_size=256).image_size == 256


def test_grey_images_that_are_stored_as_rgb_get_a_hint(tmp_path: Path) -> None:
    for i in range(10):
        scene(i).convert("L").convert("RGB").save(tmp_path / f"{i}.png")
    report = gz.check_data(tmp_path)
    assert report.grey_rgb == 10 and "--channels 1" in str(report) and "--channels 1" in report.next


def test_the_contact_sheet_shows_images_crops_and_pairs(mixed: Path) -> None:
    report = gz.check_data(mixed)
    sheet = report.sheet()
    without = gz.check_data("portraits").sheet()
    rows = -(-27 // 10)
    assert sheet.size == (1026, 6 + 3 * 30 + (rows + 2) * 102)
    assert without.size == (1026, 6 + 30 + 10 * 102)
    red = (np.asarray(sheet) == (214, 39, 40)).all(2)
    assert red[: 30 + 3 * 102].any() and not (np.asarray(without) == (214, 39, 40)).all(2).any()


def test_near_duplicates_are_found_however_many_images_there_are() -> None:
    random = torch.Generator().manual_seed(0)
    thumbs = torch.randint(0, 256, (500, 3, 16, 16), dtype=torch.uint8, generator=random)
    thumbs[400] = thumbs[7]
    thumbs[450] = (thumbs[8].float() * 0.99 + 1).to(torch.uint8)
    thumbs[451] = (thumbs[450].float() * 0.99 + 1).to(torch.uint8)
    assert sorted(similar.near(thumbs)) == [[7, 400], [8, 450, 451]]
    assert similar.near(thumbs[:1]) == []
    flat = torch.full((300, 3, 16, 16), 9, dtype=torch.uint8)
    assert similar.near(flat) == [list(range(300))], "blank images make no pairs of pairs"


def test_other_pictures_are_not_near_duplicates() -> None:
    sharp, blurred = scene(1), scene(1).filter(ImageFilter.GaussianBlur(1))
    other, mirrored = scene(2), scene(1).transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    pictures = [sharp, blurred, other, mirrored]
    thumbs = [np.array(p.resize((16, 16), Image.Resampling.BOX)).transpose(2, 0, 1) for p in pictures]
    assert similar.near(torch.tensor(np.stack(thumbs))) == [[0, 1]]


def test_the_command_line(mixed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    sheet, found = tmp_path / "sheet.png", tmp_path / "found.json"
    with pytest.raises(SystemExit) as stopped:
        main(["data", str(mixed), "--sheet", str(sheet), "--json", str(found)])
    out, err = capsys.readouterr()
    assert stopped.value.code == 0 and err == "" and out.startswith(f"data      {mixed}\nimages    27:")
    with Image.open(sheet) as picture:
        assert picture.width == 1026
    assert json.loads(found.read_text())[0]["images"] == 27
    with pytest.raises(SystemExit):
        main(["data", str(mixed), "portraits", "--json", "-", "--fit", "pad", "--image-size", "64"])
    both = json.loads(capsys.readouterr().out)
    assert [one["images"] for one in both] == [27, 100] and both[0]["image_size"] == 64
    for words, code, text in [
        (["data", str(mixed), "portraits", "--sheet", "x.png"], 2, "--sheet draws one source"),
        (["data", str(tmp_path / "nothing")], 1, "does not exist"),
        (["data", str(mixed), "--fit", "stretch"], 2, "unknown fit"),
        (["data", str(mixed), "--json", str(tmp_path / "no" / "x.json")], 1, "can't write"),
        (["data", str(mixed), "--sheet", str(tmp_path / "x.nothing")], 1, "can't write"),
        (["data"], 2, "SOURCE… is missing"),
    ]:
        with pytest.raises(SystemExit) as stopped:
            main(words)
        err = capsys.readouterr().err
        assert stopped.value.code == code and text in err and len(err.strip().splitlines()) == 1, words
