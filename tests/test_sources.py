"""What `load` takes: names, paths with `~`, images in memory; what it refuses, and before which work."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import Dataset, IterableDataset, TensorDataset

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.data import ImageData, builtin, files

PIXELS = torch.randint(0, 256, (6, 3, 8, 9), dtype=torch.uint8)


class Items(Dataset[Any]):
    """A torch data set of given items."""

    def __init__(self, items: list[Any], classes: Any = None) -> None:
        self.items = items
        if classes is not None:
            self.classes = classes

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


class Endless(IterableDataset[Any]):
    """A torch data set without a length."""

    def __iter__(self) -> Any:
        return iter(PIXELS)


def pictures() -> list[Image.Image]:
    return [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in PIXELS]


@pytest.mark.parametrize(
    "value",
    [
        PIXELS,
        PIXELS.numpy(),
        PIXELS.permute(0, 2, 3, 1).numpy(),
        pictures(),
        tuple(pictures()),
        list(PIXELS),
        [image.permute(1, 2, 0).numpy() for image in PIXELS],
        Items(pictures()),
        Items(list(PIXELS)),
    ],
)
def test_images_in_memory_are_taken(value: Any) -> None:
    images = data.load(value)
    assert torch.equal(images.images, PIXELS) and images.labels is None and data.spoken(value) == "data"
    assert data.load(value, image_size=4, channels=1, shots=2).images.shape == (2, 1, 4, 4)


def test_images_in_memory_are_copied() -> None:
    array = PIXELS.numpy().copy()
    array.setflags(write=False)
    images = data.load(array)
    array.setflags(write=True)
    array[:] = 0
    assert torch.equal(images.images, PIXELS)


@pytest.mark.parametrize("grey", [torch.zeros(5, 8, 9, dtype=torch.uint8), np.zeros((5, 8, 9), np.uint8)])
def test_grey_images_need_no_axis_for_channels(grey: Any) -> None:
    assert data.load(grey).images.shape == (5, 1, 8, 9)
    assert data.load(list(grey)).images.shape == (5, 1, 8, 9)


def test_a_data_set_has_labels_and_perhaps_classes() -> None:
    labels = [2, 0, 2, 5, 0, 2]
    items = list(zip(pictures(), labels, strict=True))
    images = data.load(Items(items))
    assert images.classes == ("0", "2", "5") and images.labels is not None
    assert images.labels.tolist() == [1, 0, 1, 2, 0, 1]
    named = data.load(Items(items, list("abcdef")))
    assert named.classes == tuple("abcdef") and named.labels is not None and named.labels.tolist() == labels
    assert data.load(TensorDataset(PIXELS, torch.tensor(labels))).classes == ("0", "2", "5")
    assert data.load(TensorDataset(PIXELS)).labels is None


def test_pictures_of_different_sizes_need_a_size_and_become_one_kind() -> None:
    mixed = [Image.new("L", (8, 8), 7), Image.new("RGBA", (9, 9), (9, 9, 9, 0))]
    with pytest.raises(gz.DataError, match="different sizes"):
        data.load(mixed)
    assert data.load(mixed, image_size=4).images[:, :, 0, 0].tolist() == [[7, 7, 7], [255, 255, 255]]


@pytest.mark.parametrize(
    "value",
    [
        None, 7, 1.5, True, b"photos", {}, {"image": 1}, {1, 2}, object(), iter([]), [], (), np.float32(1),
        PIXELS.float(), PIXELS.numpy().astype(float), PIXELS[0], PIXELS[0, 0], PIXELS[:0], PIXELS.bool(),
        PIXELS.permute(0, 2, 3, 1), np.zeros((2, 3, 8, 3), np.uint8), np.zeros((3, 8, 9), np.uint8),
        np.zeros((8, 9, 3), np.uint8), np.zeros((2, 5, 8, 9), np.uint8), ["a.png", "b.png"], [1, 2],
        [np.zeros((3, 8, 3), np.uint8)], [PIXELS.float()[0]], Items([{"image": 1}]), Endless(),
        Items([(PIXELS[0], "cat")]), Items([(PIXELS[0], 0.5)]), Items([(PIXELS[0], -1)]),
        Items([(PIXELS[0], {"boxes": 1})]), Items([(PIXELS[0], torch.zeros(2))]), Items([(1, 2, 3)]),
        Items([(PIXELS[0], 1), PIXELS[1]]),
    ],
)  # fmt: skip
def test_what_is_not_images_gives_one_line_that_names_what_is(value: Any) -> None:
    with pytest.raises(gz.DataError, match=r"gz\.ImageData\(images, labels\)") as caught:
        data.load(value)
    assert "\n" not in str(caught.value) and len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["", ":cats", ":"])
def test_an_empty_text_is_not_the_working_directory(
    photos: Path, monkeypatch: pytest.MonkeyPatch, value: str
) -> None:
    monkeypatch.chdir(photos)
    with pytest.raises(gz.DataError, match=r"is not a valid name or path"):
        data.load(value, image_size=8)
    assert data.load(".", image_size=8).name == "photos"
    assert data.load("cats/..", image_size=8).name == "photos"


def test_a_tilde_is_the_users_folder(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(photos.parent))
    monkeypatch.chdir(tmp_path)
    for source in ("~/photos", Path("~/photos"), "~/photos:cats"):
        assert data.load(source, image_size=8).name.startswith("photos")
    asked: list[Path] = []

    def stop(name: str, split: str, root: Path) -> ImageData:
        asked.append(root)
        raise gz.DataError("seen")

    monkeypatch.setattr(builtin, "torchvision_set", stop)
    monkeypatch.setenv("GANTL_ZOO_DATA", "~/d")
    for root in (None, "~/d", Path("~/d")):
        with pytest.raises(gz.DataError, match="seen"):
            data.load("mnist", root=root)
    assert asked == [photos.parent / "d"] * 3 and not (tmp_path / "~").exists()


def test_a_name_that_is_almost_one_is_suggested() -> None:
    with pytest.raises(gz.DataError, match=r"unknown data set 'mnits'; did you mean mnist.*\?"):
        data.load("mnits")
    with pytest.raises(gz.DataError, match=r"unknown data set 'a{80}"):
        data.load("a" * 5000)


@pytest.mark.parametrize(
    ("size", "said"),
    [
        (0, "at least 1, not 0"),
        ("28", "a whole number, not '28'"),
        (True, "a whole number"),
        (100_000, "at most 16,384, not"),
    ],
)
def test_sizes_that_are_not_sizes(photos: Path, size: Any, said: str) -> None:
    with pytest.raises(gz.UsageError, match=f"image_size must be {said}"):
        data.load(photos, image_size=size)


@pytest.mark.parametrize("key", ["image_size", "channels", "shots", "data_seed"])
def test_numbers_may_be_those_of_numpy_and_nothing_else(photos: Path, key: str) -> None:
    settings: dict[str, Any] = {"image_size": 16, "channels": 1, "shots": 5, "data_seed": 1}
    arrays = {name: np.int64(value) for name, value in settings.items()}
    assert torch.equal(data.load(photos, **arrays).images, data.load(photos, **settings).images)
    for wrong in ("8", 8.0, True, [8]):
        with pytest.raises(gz.UsageError, match=rf"^{key} must be a whole number, not ") as error:
            data.load(photos, **settings | {key: wrong})
        assert repr(wrong) in str(error.value)


@pytest.mark.parametrize("source", ["photos", "mnist", "glyphs", PIXELS.repeat(1000, 1, 1, 1)])
def test_images_that_can_t_fit_are_refused_before_they_are_decoded(
    photos: Path, monkeypatch: pytest.MonkeyPatch, source: Any
) -> None:
    monkeypatch.setattr(files, "free_memory", lambda: 1 << 30)
    monkeypatch.setattr(files, "decode", None)
    with pytest.raises(gz.DataError, match=r"16000×16000 pixels need .* GB .* smaller --image-size"):
        data.load(photos if source == "photos" else source, image_size=16_000)


def test_what_images_take_is_estimated_without_decoding(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "decode", None)
    assert data.estimate(photos) == 27 * 3 * 20 * 30
    assert data.estimate(photos, split="test", image_size=16, channels=1) == 3 * 16 * 16
    assert data.estimate("mnist") == 60_000 * 28 * 28
    assert data.estimate("mnist", split="test", image_size=32, channels=3) == 10_000 * 3 * 32 * 32
    assert data.estimate(PIXELS) == PIXELS.numel()
    assert data.estimate("nowhere") is None and data.estimate(f"{photos}:cats") is None


def test_images_that_are_not_square_are_named(photos: Path) -> None:
    with pytest.raises(
        gz.DataError, match="photos: images are 30×20: choose a square size with --image-size"
    ):
        data.load(photos).check_square()
    data.load(photos, image_size=8).check_square()


def idx(path: Path, values: np.ndarray[Any, Any]) -> bytes:
    content = bytes((0, 0, 8, values.ndim)) + np.array(values.shape, ">i4").tobytes() + values.tobytes()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return content


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A data root with a small MNIST."""
    for part, count in (("train", 60), ("t10k", 10)):
        idx(tmp_path / "MNIST" / "raw" / f"{part}-images-idx3-ubyte", np.zeros((count, 28, 28), np.uint8))
        idx(tmp_path / "MNIST" / "raw" / f"{part}-labels-idx1-ubyte", np.zeros(count, np.uint8))
    return tmp_path


@pytest.mark.parametrize("file", ["train-images-idx3", "t10k-labels-idx1"])
@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda whole: whole[:-4], r"\(([\d,]+) of ([\d,]+) bytes\)"),
        (lambda whole: whole + b"\0", r"\(([\d,]+) of ([\d,]+) bytes\)"),
        (lambda whole: b"", "it is empty"),
        (lambda whole: whole[:6], "6 bytes, fewer than the"),
        (lambda whole: b"<!DOCTYPE html>" + bytes(99), "HTML or XML page"),
        (lambda whole: b"\x1f\x8b" + whole, "gzip"),
        (lambda whole: b"\1" + whole, "does not begin with the header of the IDX format"),
    ],
)
def test_a_damaged_download_is_named(root: Path, file: str, damage: Any, said: str) -> None:
    path = root / "MNIST" / "raw" / f"{file}-ubyte"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(
        gz.DataError, match=rf"{file}-ubyte is damaged .*{said}.*delete it, and it will be downloaded"
    ):
        data.load("mnist", root=root)


def test_images_and_labels_that_don_t_belong_together_are_named(root: Path) -> None:
    idx(root / "MNIST" / "raw" / "train-labels-idx1-ubyte", np.zeros(59, np.uint8))
    with pytest.raises(
        gz.DataError, match=r"items \(train-images-idx3-ubyte 60 and train-labels-idx1-ubyte 59\); delete"
    ):
        data.load("mnist", root=root)


@pytest.mark.parametrize("below", ["MNIST", "MNIST/raw"])
def test_a_root_one_level_too_deep_is_hinted_at(root: Path, below: str) -> None:
    before = sorted(root.rglob("*"))
    with pytest.raises(gz.DataError, match=rf"give its parent instead: --data-root {root}$"):
        data.load("mnist", root=root / below)
    assert sorted(root.rglob("*")) == before


@pytest.mark.parametrize("name", ["mnist", "cifar10"])
def test_a_download_that_fails_leaves_nothing_and_names_damaged_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    import torchvision.datasets.cifar
    import torchvision.datasets.mnist

    def offline(*_: object, **__: object) -> None:
        raise OSError("no network")

    for module in (torchvision.datasets.cifar, torchvision.datasets.mnist):
        monkeypatch.setattr(module, "download_and_extract_archive", offline)
    with pytest.raises(gz.DataError, match=f"{name} is not in .*no network"):
        data.load(name, root=tmp_path / "a" / "b")
    assert not list(tmp_path.iterdir())
    file = {"mnist": "MNIST/raw/train-images-idx3-ubyte.gz", "cifar10": "cifar-10-batches-py/data_batch_1"}[
        name
    ]
    (tmp_path / file).parent.mkdir(parents=True)
    (tmp_path / file).write_bytes(b"\x1f\x8b")
    with pytest.raises(gz.DataError, match=rf"{file} is damaged \(2 bytes.*delete it"):
        data.load(name, root=tmp_path)
