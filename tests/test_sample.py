"""`gantl-zoo sample`: pictures from the command line."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from helpers import SMALL
from PIL import Image

import gantl_zoo as gz
from gantl_zoo.cli.app import main
from gantl_zoo.viz.grid import grid


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small class-conditional GAN."""
    gan = gz.build_gan(
        "dcgan", generator_config=SMALL | {"num_classes": 3}, discriminator_config={"width": 4}
    )
    return gan.save(tmp_path / "model")


def draw(folder: Path, *words: object) -> np.ndarray:
    """The picture that the verb writes."""
    out = folder.parent / "out.png"
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(folder), "--out", str(out), *map(str, words)])
    assert not ended.value.code
    with Image.open(out) as picture:
        return np.array(picture)


def test_the_grid_holds_the_images_of_the_seeds(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gan = gz.GAN.from_pretrained(folder)
    picture = draw(folder, "--seeds", "0-4,9", "--class", 2, "--trunc", 0.5)
    images = gan.generate(seeds=[0, 1, 2, 3, 4, 9], labels=2, truncation=0.5)
    assert np.array_equal(picture, np.array(grid(images)))
    assert capsys.readouterr().out == f"{folder.parent / 'out.png'}\n"
    again = draw(folder, "--seeds", "0-4,9", "--class", 2, "--truncation", 0.5, "--device", "cpu")
    assert np.array_equal(picture, again)


def test_columns_and_batch_size(folder: Path) -> None:
    usual = draw(folder, "--seeds", "0-5")
    assert usual.shape == (2 * 56, 3 * 56)
    row = draw(folder, "--seeds", "0-5", "--columns", 6, "--batch-size", 4)
    assert row.shape == (56, 6 * 56)
    difference = row[:, : 3 * 56].astype(int) - usual[:56].astype(int)
    assert abs(difference).max() <= 1, "the last bits may differ"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--out", "x.png", "--columns", "0"], "columns must be a whole number of at least 1, not 0"),
        (["--separate", "each", "--columns", "2"], "--columns is for the picture of all images"),
        (["--out", "x.png", "--batch-size", "0"], "batch_size must be at least 1, not 0"),
        (["--out", "x.png", "--device", "gpu"], "unknown device 'gpu'"),
        (["--out", "x.png", "--class", "3"], "there is no class 3"),
    ],
)
def test_wrong_words_are_explained(
    words: list[str],
    said: str,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as ended:
        main(["sample", str(folder), *words])
    assert ended.value.code == 2 and said in capsys.readouterr().err
    assert not (tmp_path / "x.png").exists()
