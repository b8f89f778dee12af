"""Images that don't fit into memory are streamed, and nobody can tell but by the clock."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.data import ImageData, Stream, load, memory
from gantl_zoo.data.memory import free_memory, machine_memory, memory_limit
from gantl_zoo.metrics.extract import Images, extract, plain, run
from gantl_zoo.metrics.extractors import PixelFeatures


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")


def both(source: str | Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> tuple[ImageData, ImageData]:
    """The images in memory, and the same ones streamed."""
    held = load(source, **settings)
    with monkeypatch.context() as patch:
        patch.setenv("GANTL_ZOO_MEMORY", "1000")
        streamed = load(source, **settings)
    assert isinstance(streamed.images, Stream) and isinstance(held.images, torch.Tensor)
    return held, streamed


@pytest.mark.parametrize("channels", [None, 1])
@pytest.mark.parametrize("archive", [False, True])
def test_streamed_images_are_those_in_memory(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, archive: bool, channels: int | None
) -> None:
    source = Path(shutil.make_archive(str(tmp_path / "photos"), "zip", photos)) if archive else photos
    held, streamed = both(source, monkeypatch, image_size=16, channels=channels)
    index = torch.tensor([5, 0, 11])
    assert streamed.shape == held.shape and len(streamed) == len(held)
    assert torch.equal(streamed.images[index], held.images[index])
    assert torch.equal(streamed.images[:4], held.images[:4])
    assert streamed.labels is not None and held.labels is not None
    assert torch.equal(streamed.labels, held.labels) and streamed.classes == held.classes
    few = streamed.few(3, seed=2)
    assert torch.equal(few.images, held.few(3, seed=2).images)


def test_features_of_one_treatment_are_not_those_of_another(photos: Path, no_memory: None) -> None:
    """The fingerprint of a streamed set is that of its files, whatever their pixels become."""
    for path in photos.rglob("*.png"):
        picture = Image.open(path)
        picture.resize((picture.width * 2, picture.height)).save(path)
    cropped, padded = (load(photos, image_size=16, fit=fit) for fit in ("crop", "pad"))
    resized = load(photos, image_size=32).fit(16, None)
    assert cropped.fingerprint == padded.fingerprint == resized.fingerprint
    pixels = PixelFeatures.fit(cropped, 4)
    found = [extract(pixels, Images.part(data, 20)).features for data in (cropped, padded, resized, cropped)]
    for data, features in zip((cropped, padded, resized, cropped), found, strict=True):
        assert torch.equal(features, run(pixels, Images.part(data, 20), None, plain)[0])
    assert not torch.equal(found[0], found[1]) and not torch.equal(found[0], found[2])


def test_a_streamed_set_knows_when_it_has_changed(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, before = both(photos, monkeypatch, image_size=16)
    _, again = both(photos, monkeypatch, image_size=16)
    assert before.fingerprint == again.fingerprint
    first, second = sorted(photos.rglob("*.png"))[:2]
    shutil.copy(first, second)
    _, changed = both(photos, monkeypatch, image_size=16)
    assert changed.fingerprint != before.fingerprint


def test_a_fingerprint_reads_no_file_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, streamed = both(photos, monkeypatch, image_size=16)
    monkeypatch.setattr(Stream, "read", lambda self, name: pytest.fail("read again"))
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1")
    part = streamed.select(torch.arange(20))
    assert part.fingerprint != streamed.fingerprint == load(photos, image_size=16).fingerprint


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.filterwarnings(
    "ignore:This process .* is multi-threaded"
)  # Python 3.12 on forks, which is safe here
def test_training_on_a_stream_is_training_on_what_it_holds(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    settings = TINY | {"data": photos, "image_size": 28, "engine_config": {"workers": workers}}
    whole = gz.train("dcgan", out=tmp_path / "a", **settings)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1000")
    streamed = gz.train("dcgan", out=tmp_path / "b", **settings)
    assert torch.equal(whole.generate(3), streamed.generate(3))


@pytest.mark.parametrize(("chosen", "shots"), [(":cats", None), (":1,0", None), ("", 20), (":dogs", 9)])
def test_a_part_of_a_stream_is_a_stream_unless_it_fits(
    photos: Path, monkeypatch: pytest.MonkeyPatch, chosen: str, shots: int | None
) -> None:
    settings: dict[str, Any] = {"image_size": 16, "channels": 1, "shots": shots, "data_seed": 3}
    held, streamed = both(f"{photos}{chosen}", monkeypatch, **settings)
    assert streamed.shape == held.shape and len(streamed) == len(held) and streamed.name == held.name
    assert torch.equal(streamed.images[:], held.images) and streamed.classes == held.classes
    assert held.labels is not None and streamed.labels is not None
    assert torch.equal(streamed.labels, held.labels)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", str(3 * len(held) * 16**2))
    fitting = load(f"{photos}{chosen}", **settings).images
    assert isinstance(fitting, torch.Tensor) and torch.equal(fitting, held.images)


def test_a_part_of_a_stream_is_looked_at_like_any_images(
    gan: gz.GAN, photos: Path, tmp_path: Path, no_memory: None
) -> None:
    settings = {k: v for k, v in TINY.items() if not k.endswith("config")} | {"data": f"{photos}:cats"}
    settings |= {"channels": 1, "strategy": "auto", "compare_scratch": True, "engine_config": {"workers": 0}}
    gz.transfer(gan, out=tmp_path / "runs", watch_every=3, **settings)
    (run,) = (tmp_path / "runs").iterdir()
    assert (run / "comparison.png").is_file() and "diversity" in (run / "stats.jsonl").read_text()


def test_samples_join_a_stream(photos: Path, tmp_path: Path, no_memory: None) -> None:
    settings: dict[str, Any] = {"data": photos, "image_size": 28, "channels": 1, "epochs": 1, "batch": 8}
    helped = {"gan": "dcgan-mnist", "gan_samples": 4, "gan_confidence": 0.0}
    model = gz.classify_train("cnn", out=tmp_path / "runs", **settings, **helped)
    assert model.lineage["data"]["images"] == len(load(photos, image_size=28)) + 4


def test_damaged_images_are_left_out_of_a_stream_too(
    photos: Path, no_memory: None, capsys: pytest.CaptureFixture[str]
) -> None:
    count = len(load(photos, image_size=16))
    train = load(photos, image_size=16).images
    assert isinstance(train, Stream)
    (photos / train.names[3]).write_bytes(b"no image")
    assert len(load(photos, image_size=16)) == count - 1
    assert f"1 of {count} images can't be read: {train.names[3]}" in capsys.readouterr().err


@pytest.mark.parametrize("workers", [0, 1])
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded")
def test_an_image_that_vanishes_is_named(
    photos: Path, no_memory: None, monkeypatch: pytest.MonkeyPatch, workers: int
) -> None:
    monkeypatch.setenv("GANTL_ZOO_CACHE", "off")
    images = load(photos, image_size=16).images
    assert isinstance(images, Stream)
    (photos / images.names[3]).unlink()
    batches = images.batches(iter([torch.tensor([0, 1]), torch.tensor([2, 3])]), workers)
    assert next(batches).shape == (2, 3, 16, 16)
    with pytest.raises(gz.DataError) as told:
        next(batches)
    text = str(told.value)
    assert images.names[3] in text and "continue with --resume" in text and "Traceback" not in text


def test_a_classifier_learns_from_a_stream(photos: Path, tmp_path: Path, no_memory: None) -> None:
    model = gz.classify_train("cnn", data=photos, image_size=16, epochs=1, batch=8, out=tmp_path)
    assert model.num_classes == 2 and 0 <= model.about["metrics"][0]["value"] <= 1


def test_the_limit_is_part_of_the_machines_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GANTL_ZOO_MEMORY", raising=False)
    assert memory_limit() > 1 << 27
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "5")
    assert memory_limit() == 5
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "much")
    with pytest.raises(gz.DataError, match="'much' is not a valid number of bytes"):
        memory_limit()


@pytest.mark.parametrize(
    ("line", "place", "files"),
    [
        ("0::/a/b", "a", ("memory.max", "memory.current", "inactive_file")),
        ("0::/a/b", "", ("memory.max", "memory.current", "inactive_file")),
        (
            "4:cpu,memory:/a",
            "memory/a",
            ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
        ),
    ],
)
def test_a_container_has_the_memory_of_its_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str, place: str, files: tuple[str, str, str]
) -> None:
    (tmp_path / "self").mkdir()
    (tmp_path / "self" / "cgroup").write_text(f"3:cpuset:/x\n{line}\n")
    (tmp_path / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable: 8000 kB\n")
    group = tmp_path / place
    group.mkdir(parents=True, exist_ok=True)
    monkeypatch.setattr(memory, "PROC", tmp_path)
    monkeypatch.setattr(memory, "CGROUPS", tmp_path)
    assert free_memory() == 8000 << 10
    (group / files[0]).write_text("1000000\n")
    (group / files[1]).write_text("700000\n")
    assert free_memory() == 300_000 and machine_memory() == 1_000_000
    (group / "memory.stat").write_text(f"anon 1\n{files[2]} 50000\n")
    assert free_memory() == 350_000
    (group / files[0]).write_text("max\n")
    assert free_memory() == 8000 << 10 and machine_memory() > 1 << 27


def test_a_stream_goes_to_processes_that_are_spawned(photos: Path, no_memory: None) -> None:
    streamed = load(photos, image_size=16)
    assert streamed.fingerprint  # opens a reader here
    again = pickle.loads(pickle.dumps(streamed.images))
    assert torch.equal(again[:4], streamed.images[:4])


def test_a_stream_is_resized_as_images_are(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = load(photos, image_size=16).fit(8, 1)
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1")
    streamed = load(photos, image_size=16).fit(8, 1)
    assert isinstance(streamed.images, Stream) and streamed.shape == (1, 8, 8)
    assert torch.equal(streamed.images[:], whole.images)
