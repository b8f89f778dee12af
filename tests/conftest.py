"""Fixtures that many tests need. None of them uses the network or large data."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import SMALL
from loopback_hub import LoopbackHub
from PIL import Image
from quick_runs import full_runs, quick_runs  # noqa: F401
from studio_fixtures import secret, settings, visitor  # noqa: F401

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.registry import plugins

os.environ["HF_HUB_OFFLINE"] = "1"  # before huggingface_hub is imported, which reads it once


@pytest.fixture(autouse=True)
def no_network_and_fixed_chance(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    monkeypatch.setenv("GANTL_ZOO_DATA", str(tmp_path / "no-data"))
    monkeypatch.setenv("GANTL_ZOO_CACHE", str(tmp_path / "cache"))
    torch.manual_seed(0)


@pytest.fixture
def gan() -> gz.GAN:
    """A DCGAN of a few thousand parameters, 28×28 grey."""
    return gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4}, name="small")


@pytest.fixture
def images() -> ImageData:
    """Forty labelled 28×28 grey images in two classes: bright above, bright below."""
    pixels = torch.randint(0, 60, (40, 1, 28, 28), dtype=torch.uint8)
    labels = torch.arange(40) % 2
    pixels[labels == 0, :, :14] += 150
    pixels[labels == 1, :, 14:] += 150
    return ImageData(pixels, labels, ("above", "below"), "halves")


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder of thirty RGB images of 20×30 pixels in two sub-folders."""
    random = np.random.RandomState(0)
    for i in range(30):
        folder = tmp_path / "photos" / ("cats" if i % 2 else "dogs")
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(random.randint(0, 255, (20, 30, 3), dtype=np.uint8)).save(folder / f"{i}.png")
    return tmp_path / "photos"


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[LoopbackHub]:
    """A Hub on loopback, to which we are logged in, with its own cache and short pauses before retries."""
    from huggingface_hub import constants

    from gantl_zoo.hub import client

    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    monkeypatch.setenv("HF_TOKEN", "hf_goodToken")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)  # read from the environment at import
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hf" / "hub"))
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "hf" / "token"))
    monkeypatch.setattr(client, "PAUSES", (0.02, 0.05, 0.1))
    with LoopbackHub() as served:
        monkeypatch.setenv("HF_ENDPOINT", served.endpoint)
        yield served


@pytest.fixture
def pushed(hub: LoopbackHub, gan: gz.GAN, tmp_path: Path) -> Path:
    """The folder of a model that is on the Hub as me/my-gan, and not in the cache."""
    gan.about["license"] = "mit"
    folder = gan.save(tmp_path / "mine")
    gz.push(folder, "me/my-gan")
    hub.requests.clear()
    return folder


@pytest.fixture
def model(gan: gz.GAN, tmp_path: Path) -> Path:
    """The folder of a saved GAN."""
    return gan.save(tmp_path / "small")


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Install a distribution: `install("nice", generators={"x": "nice:build"}, code="…")`."""
    monkeypatch.syspath_prepend(str(tmp_path))

    def write(name: str, code: str = "", version: str = "0.3", **groups: dict[str, str]) -> None:
        module = name.replace("-", "_")
        sys.modules.pop(module, None)  # an earlier test may have made up one of this name
        (tmp_path / f"{module}.py").write_text(code)
        for old in tmp_path.glob(f"{module}-*.dist-info"):
            shutil.rmtree(old)
        info = tmp_path / f"{module}-{version}.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
        lines = []
        for group, points in groups.items():
            lines += [f"[gantl_zoo.{group.replace('__', '.')}]", *(f"{n} = {v}" for n, v in points.items())]
        (info / "entry_points.txt").write_text("\n".join(lines))
        plugins.rescan()

    yield write
    monkeypatch.undo()
    plugins.rescan()
