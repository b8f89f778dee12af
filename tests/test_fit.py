"""How images become squares, what that changes, and that runs keep it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from helpers import SMALL, TINY
from PIL import Image

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.cli.app import main
from gantl_zoo.data.fit import square_picture, square_tensor
from gantl_zoo.data.stream import Stream
from gantl_zoo.runs.job import Job

WIDE = np.full((10, 30, 3), (9, 90, 200), np.uint8)  # blue, with a red and a green end
WIDE[:, :3], WIDE[:, 27:] = (255, 0, 0), (0, 255, 0)


def corners(pixels: torch.Tensor) -> list[list[int]]:
    """The colours in the four corners of (3, H, W)."""
    return pixels[:, [0, 0, -1, -1], [0, -1, 0, -1]].T.tolist()


@pytest.fixture
def banners(tmp_path: Path) -> Path:
    """Twelve wide images, each with a red left and a green right end, each of another shade of blue."""
    folder = tmp_path / "banners"
    folder.mkdir()
    for i in range(12):
        pixels = WIDE.copy()
        pixels[:, 3:27, 2] = 200 + i
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_crop_keeps_the_centre_and_pad_keeps_everything(banners: Path) -> None:
    cropped, padded = (data.load(banners, image_size=12, fit=fit).images for fit in ("crop", "pad"))
    assert torch.equal(data.load(banners, image_size=12).images, cropped)
    assert cropped[0, 0].max() < 100 and cropped[0, 1].max() < 120, "neither red nor green"
    assert padded.shape == cropped.shape
    middle = padded[0, :, 5:7]  # rows of the picture
    assert middle[0].max() > 200 and middle[1].max() > 200 and middle[2].max() > 190
    blue = padded[:, 2, 0, 0].sort().values
    assert len(blue) == len(padded) and int(blue.min()) >= 195, "filled with the median of the edges: blue"
    assert (padded[:, 0, 0] < 20).all() and (padded[:, 0, -1] < 20).all()


@pytest.mark.parametrize("size", [(30, 10), (10, 30), (1, 500), (500, 1), (31, 30)])
def test_the_whole_image_lies_in_the_middle(size: tuple[int, int]) -> None:
    picture = Image.new("L", size, 40)
    for found in (
        square_picture(picture, 16, "pad"),
        Image.fromarray(square_tensor(torch.tensor(np.array(picture))[None, None], 16, "pad")[0, 0].numpy()),
    ):
        assert found.size == (16, 16) and found.getextrema() == (40, 40)
    white = np.asarray(square_picture(picture, 16, "pad", white=True))
    rows, columns = (white == 40).any(1).sum(), (white == 40).any(0).sum()
    assert max(rows, columns) == 16 and min(rows, columns) == max(1, round(16 * min(size) / max(size)))


def test_a_square_image_is_the_same_either_way(tmp_path: Path) -> None:
    random = np.random.RandomState(0)
    picture = Image.fromarray(random.randint(0, 255, (40, 40, 3), dtype=np.uint8))
    assert square_picture(picture, 16, "pad").tobytes() == square_picture(picture, 16, "crop").tobytes()
    images = torch.randint(0, 255, (2, 3, 40, 40), dtype=torch.uint8)
    assert torch.equal(square_tensor(images, 16, "pad"), square_tensor(images, 16, "crop"))


def test_a_transparent_image_is_padded_in_white(tmp_path: Path) -> None:
    for i in range(10):
        picture = Image.new("RGBA", (30, 10), (10, 20, 30 + i, 255))
        picture.putpixel((15, 5), (0, 0, 0, 0))
        picture.save(tmp_path / f"{i}.png")
    assert corners(data.load(tmp_path, image_size=12, fit="pad").images[0]) == [[255, 255, 255]] * 4


def test_zips_streams_and_memory_are_padded_alike(
    banners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    archive = shutil.make_archive(str(tmp_path / "banners"), "zip", banners)
    settings: dict[str, Any] = {"image_size": 12, "fit": "pad"}
    expected = data.load(banners, **settings).images
    assert torch.equal(data.load(archive, **settings).images, expected)
    held = data.load(banners, split="test", **settings).images
    pictures = [Image.open(path) for path in sorted(banners.iterdir())]
    in_memory = data.load(pictures, **settings).images
    assert sorted(map(bytes, in_memory.numpy())) == sorted(map(bytes, torch.cat([expected, held]).numpy()))
    arrays = data.load(np.stack([np.array(picture) for picture in pictures]), **settings).images
    assert (arrays.float() - in_memory.float()).abs().mean() < 8, "resampled otherwise, but padded"
    monkeypatch.setenv("GANTL_ZOO_MEMORY", "1")
    streamed = data.load(banners, **settings).images
    assert isinstance(streamed, Stream) and torch.equal(streamed[:], expected)
    later = data.load(banners).fit(12, None, "pad").images
    assert isinstance(later, Stream) and (later[:].float() - expected.float()).abs().mean() < 8


@pytest.mark.parametrize("wrong", ["padd", "", 1])
def test_an_unknown_fit_is_one_clear_error(banners: Path, wrong: Any) -> None:
    with pytest.raises(gz.UsageError, match=r"unknown fit .*(did you mean pad|there are: crop, pad)"):
        data.load(banners, image_size=8, fit=wrong)
    with pytest.raises(gz.UsageError):
        data.load(torch.zeros(2, 3, 8, 8, dtype=torch.uint8), fit=wrong)


def test_what_reading_changed_is_counted(tmp_path: Path) -> None:
    sizes = [(30, 30)] * 8 + [(60, 40), (10, 20)]
    for i, size in enumerate(sizes):
        picture = Image.new("RGBA", size, (i, 0, 0, 255))
        if i < 3:
            picture.putpixel((0, 0), (0, 0, 0, 100))
        picture.save(tmp_path / f"{i}.png")
    every = [data.load(tmp_path, split=split, image_size=30) for split in ("train", "test")]
    assert sum(len(one) for one in every) == 10
    pictures = [Image.open(path) for path in sorted(tmp_path.glob("*.png"))]
    images = data.load(pictures, image_size=30)
    text = images.changes
    assert text == (
        "2 cropped to a square (up to 50 % of a picture; --fit pad keeps all), 3 transparent flattened on "
        "white, 1 enlarged from as little as 10×20"
    )
    padded = data.load(pictures, image_size=30, fit="pad")
    assert padded.changes.startswith("2 padded to a square (up to 50 % of it), 3 transparent")
    assert images.select(torch.arange(3, 8)).changes == "", "of what is selected"
    assert images.about()["fit"] == "crop" and padded.about()["fit"] == "pad"
    assert data.load("digits").changes == ""
    assert data.load("digits", image_size=28).changes == "1,438 enlarged from as little as 8×8"


def test_nothing_is_said_of_images_that_stay_as_they_are(tmp_path: Path) -> None:
    for i in range(10):
        Image.new("RGBA", (8, 8), (i, 0, 0, 255)).save(tmp_path / f"{i}.png")  # an alpha that hides nothing
    assert data.load(tmp_path).changes == "" and data.load(tmp_path, image_size=4).changes == ""


def test_a_run_keeps_its_fit(banners: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings: dict[str, Any] = TINY | {"steps": 2, "image_size": 28, "fit": "pad", "out": tmp_path / "runs"}
    gan = gz.train("dcgan", data=banners, **settings)
    assert gan.folder is not None
    run = gan.folder.parent
    line = "data: 11 images of banners: 11 padded to a square (up to 67 % of it)"
    assert line in (run / "log.txt").read_text() and line in capsys.readouterr().err
    config = json.loads((run / "config.json").read_text())
    assert config["data"]["fit"] == "pad" and gan.lineage["data"]["fit"] == "pad"
    assert "--fit pad" in gan.about["training"]["command"]
    assert Job.from_config(config, run).data.fit == "pad"
    with pytest.raises(gz.UsageError, match="began with fit pad, not crop"):
        gz.train(resume=run, fit="crop")
    del config["data"]["fit"]  # as earlier versions wrote it
    assert Job.from_config(config, run).data.fit == "crop"


def test_evaluate_fits_images_as_in_training(
    banners: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantl_zoo.runs import evaluate as runs

    gan = gz.build_gan(
        "dcgan", generator_config=SMALL | {"channels": 3}, discriminator_config={"width": 4, "channels": 3}
    )
    fits: list[str] = []

    def stop(gan: gz.GAN, spec: Any) -> Any:
        fits.append(spec.fit)
        raise gz.DataError("far enough")

    monkeypatch.setattr(runs, "split_as_in_training", stop)
    for lineage, given in [
        ({}, None),
        ({"fit": "pad"}, None),
        ({"fit": "pad"}, "crop"),
        ({"fit": [1]}, None),
    ]:
        gan.about["lineage"] = {"data": lineage}
        with pytest.raises(gz.DataError, match="far enough"):
            gz.evaluate(gan, data=banners, fit=given)
    assert fits == ["crop", "pad", "crop", "crop"]


def test_a_classifier_keeps_its_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(24):
        folder = tmp_path / "things" / ("a" if i % 2 else "b")
        folder.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (30, 10), (i, 255 * (i % 2), 90)).save(folder / f"{i}.png")
    model = gz.classify_train(
        "cnn", data=tmp_path / "things", image_size=28, fit="pad", epochs=1, batch=8, out=tmp_path / "runs"
    )
    assert "padded to a square (up to 67 % of it)" in capsys.readouterr().err
    assert model.about["lineage"]["data"]["fit"] == "pad"
    assert "--fit pad" in model.about["training"]["command"]
    assert gz.classify_evaluate(model, data=tmp_path / "things", image_size=28)["accuracy"] >= 0


def test_the_command_line_takes_a_fit(banners: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["train", "dcgan", "--data", str(banners), "--image-size", "28", "--dry-run", "--metrics", "none"]
    with pytest.raises(SystemExit):
        main([*words, "--fit", "pad"])
    assert "11 padded to a square" in capsys.readouterr().out
    with pytest.raises(SystemExit) as stopped:
        main([*words, "--fit", "stretch"])
    assert stopped.value.code == 2 and "unknown fit 'stretch'" in capsys.readouterr().err
