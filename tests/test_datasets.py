"""Data sets that have a name: built-in, registered by a script, and of plug-ins."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY
from test_plugins import Install

import gantl_zoo as gz
from gantl_zoo import data
from gantl_zoo.cli.app import main
from gantl_zoo.data import ImageData, builtin, glyphs
from gantl_zoo.data.registered import sizes_of

SQUARES = """
import torch
from gantl_zoo.data import ImageData

def squares(split, *, root):
    "Squares, bright or dark."
    count = 40 if split == "train" else 10
    pixels = (torch.arange(count) % 2 * 200).to(torch.uint8).view(-1, 1, 1, 1).expand(-1, 1, 8, 12)
    return ImageData(pixels.contiguous(), torch.arange(count) % 2, ("dark", "bright"))

def broken(split):
    "Broken."
    return 1 / 0

def number(split):
    "A number."
    return 7

value = 3
"""


@pytest.fixture
def registered() -> Iterator[Any]:
    """Registers a data set for one test."""
    before = dict(gz.datasets._own)
    yield gz.datasets.register
    gz.datasets._own = before


def test_built_in_sets_are_registered_names(capsys: pytest.CaptureFixture[str]) -> None:
    names = ["cifar10", "digits", "fashion-mnist", "glyphs", "kmnist", "mnist", "portraits", "stacked-mnist"]
    assert gz.datasets.names() == names
    with pytest.raises(SystemExit):
        main(["list", "--kind", "datasets"])
    listed = capsys.readouterr().out
    assert [line.split()[0] for line in listed.splitlines()] == ["Datasets", *names]
    with pytest.raises(SystemExit):
        main(["info", "portraits"])
    assert "Lisa Wischofsky, CC0" in " ".join(capsys.readouterr().out.split())


def test_listing_data_sets_imports_no_torch() -> None:
    code = (
        "import sys\nimport gantl_zoo as gz\nassert 'mnist' in gz.datasets.names()\n"
        "assert gz.datasets.info('mnist').owner == 'gantl_zoo'\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("name", ["digits", "portraits"])
def test_declared_sizes_are_those_of_the_images(name: str) -> None:
    sizes = sizes_of(name)
    train, test = (data.load(name, split=split) for split in ("train", "test"))
    assert sizes == (len(train), len(test), train.shape) and test.shape == train.shape
    assert train.name == name and data.estimate(name) == train.images.numel()


def test_declared_sizes_of_glyphs_are_those_of_the_letters(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing all 24,000 letters takes long, so few are drawn."""
    sizes = sizes_of("glyphs")
    assert sizes is not None and {"train": sizes.train, "test": sizes.test} == glyphs.COUNTS
    monkeypatch.setattr(glyphs, "COUNTS", {"train": 52, "test": 26})
    monkeypatch.setattr(glyphs, "load", glyphs.load.__wrapped__)
    train, test = (data.load("glyphs", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (52, 26) and train.shape == test.shape == sizes.shape
    assert train.name == "glyphs"


def test_a_script_registers_a_set(registered: Any, tmp_path: Path) -> None:
    calls: list[dict[str, Any]] = []

    @registered("my-set")
    def my_set(split: str, **settings: Any) -> ImageData:
        """Random pixels."""
        calls.append(settings | {"split": split})
        return ImageData(torch.randint(0, 255, (30, 1, 8, 8), dtype=torch.uint8))

    images = data.load("my-set", shots=5, image_size=16, channels=3, fit="pad", data_seed=3, root=tmp_path)
    assert images.images.shape == (5, 3, 16, 16) and (images.name, images.split) == ("my-set", "train")
    assert calls == [{"image_size": 16, "fit": "pad", "data_seed": 3, "root": tmp_path, "split": "train"}]
    assert data.load("my-set", split="test").split == "test"
    assert data.load("script:my-set").name == "my-set"
    with pytest.raises(gz.DataError, match="did you mean my-set"):
        data.load("my-sett")
    with pytest.raises(gz.NameTakenError, match=r"'mnist' is taken by gantl_zoo"):
        registered("mnist", my_set)


def test_a_plug_ins_set_works_as_a_built_in_one(
    install: Install, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    install("nice", SQUARES, datasets={"squares": "nice:squares"})
    assert data.load("squares:bright").classes == ("bright",) and len(data.load("squares:bright")) == 20
    assert data.load("nice:squares:dark", split="test").images.max() == 0
    assert data.load("squares", image_size=12, fit="pad").changes.startswith("40 padded to a square")
    assert data.estimate("squares") is None and data.spoken(Path("squares")) == "squares"
    gan = gz.train(
        "dcgan", data="squares", shots=12, **TINY | {"steps": 2, "image_size": 28, "out": tmp_path}
    )
    assert gan.lineage["data"]["name"] == "squares" and gan.lineage["data"]["images"] == 12
    with pytest.raises(SystemExit):
        main(["list", "--kind", "datasets"])
    assert "  squares        (nice 0.3)" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main(["info", "squares"])
    assert "Squares, bright or dark." in capsys.readouterr().out
    monkeypatch.chdir(tmp_path)
    (tmp_path / "squares").mkdir()
    assert data.spoken(Path("squares")) == "./squares"


def test_what_is_wrong_with_a_plug_ins_set_is_said(install: Install) -> None:
    install("bad", SQUARES, datasets={name: f"bad:{name}" for name in ("broken", "number", "value", "gone")})
    for name, cause in [
        ("broken", "can't be read: ZeroDivisionError"),
        ("number", "returns a int, not gz.ImageData"),
        ("value", "is a int, not a function"),
        ("gone", "could not load dataset 'gone'"),
    ]:
        with pytest.raises(gz.PluginError, match=cause):
            data.load(name)


def test_two_sets_of_one_name_stay_reachable(install: Install) -> None:
    install("one", SQUARES, datasets={"squares": "one:squares"})
    install("two", SQUARES, datasets={"squares": "two:squares"})
    with pytest.raises(gz.UnknownNameError, match="name one of one:squares, two:squares"):
        data.load("squares")
    assert data.load("two:squares").name == "squares"


def test_portraits_are_bundled_with_their_licence() -> None:
    assert builtin.PORTRAITS.stat().st_size < 300_000
    text = builtin.PORTRAITS.with_suffix(".txt").read_text(encoding="utf-8")
    assert "Lisa Wischofsky" in text and "CC0 1.0" in text
    train, test = (data.load("portraits", split=split) for split in ("train", "test"))
    assert (len(train), len(test)) == (90, 10) and train.shape == (3, 64, 64)
    assert train.ids is not None and test.ids is not None
    assert len(torch.cat([train.ids, test.ids]).unique()) == 100
    with zipfile.ZipFile(builtin.PORTRAITS) as archive:
        assert len(archive.namelist()) == 100 and all(len(name) == 9 for name in archive.namelist())
    assert data.load("portraits", image_size=28, channels=1, shots=10).images.shape == (10, 1, 28, 28)


def test_portraits_are_part_of_the_package() -> None:
    root = Path(__file__).parent.parent
    listed = (root / "pyproject.toml").read_text(encoding="utf-8").partition("package-data]")[2]
    assert '"data/*.zip", "data/*.txt"' in listed
