"""Every released model loads, samples or classifies, is described and is small."""

from __future__ import annotations

import io
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.networks.base import call
from gantl_zoo.storage import card
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.schema import read_config

ROOT = Path(__file__).parent.parent
OWN = [name for name in gz.list_models() if registry.models.entry(name).owner == "gantl_zoo"]


# their own tests check the models of a plug-in whose weights others have trained
TRAINED = [name for name in gz.list_models() if registry.models.entry(name).owner != "gantl-zoo-imagenet"]


@pytest.mark.parametrize("name", TRAINED)
def test_a_release_loads_and_works(name: str) -> None:
    model = gz.load_model(name)
    assert model.name == name
    if isinstance(model, gz.GAN):
        images = model.generate(8, seed=0)
        assert images.shape == (8, *model.image_shape) and images.dtype == torch.float32
        assert images.abs().max() <= 1 and images.std(0).mean() > 0.05
        assert call(model.discriminator, images, torch.arange(8)).shape == (8,)
    else:
        assert model(torch.zeros(2, model.channels, 28, 28)).shape == (2, model.num_classes)
    assert model.lineage["data"]["fingerprint"] and model.lineage["seed"] is not None
    assert model.about["training"]["command"].startswith("gantl-zoo ")
    assert model.about["metrics"]


@pytest.mark.parametrize("name", OWN)
def test_a_release_has_the_card_that_a_push_sends(name: str) -> None:
    path = ROOT / "model_cards" / f"{name}.md"
    text = path.read_text()
    dry = gz.push(name, f"user/{name}", card_file=path, dry_run=True)
    assert dry.files["README.md"] == text.encode(), "stale; python benchmarks/cards.py renews it"
    config = read_config(registry.models.load(name))
    assert config["license"] and card.prose(text), "a card says more than its numbers"
    for what in (config["training"]["command"], config["lineage"]["data"]["fingerprint"]):
        assert what in text
    for file, made in dry.files.items():
        if file.endswith(".png"):  # another processor rounds otherwise, so not to the byte
            assert f"]({file})" in text
            assert isinstance(made, bytes)
            kept, drawn = (np.asarray(Image.open(p)) for p in (path.parent / file, io.BytesIO(made)))
            assert kept.shape == drawn.shape and np.abs(kept.astype(int) - drawn).mean() < 2


def test_there_is_no_card_without_a_release() -> None:
    names = {path.name for path in (ROOT / "model_cards").iterdir()}
    gans = {name for name in OWN if read_config(registry.models.load(name))["kind"] == "gan"}
    assert names == {f"{name}.md" for name in OWN} | {f"samples-{name}.png" for name in gans}


def test_the_releases_are_small() -> None:
    files = (ROOT / "gantl_zoo" / "released").rglob("*.safetensors")
    assert sum(path.stat().st_size for path in files) < 40_000_000


def test_transferred_releases_know_their_ancestors() -> None:
    gan, classifier = gz.load_model("dcgan-fashion-mnist"), gz.load_model("cnn-fashion-mnist")
    for model, base in ((gan, "dcgan-mnist"), (classifier, "cnn-mnist")):
        assert model.lineage["base_model"] == base
        assert model.lineage["base_lineage"]["data"]["name"] == "mnist"
        file = "generator" if isinstance(model, gz.GAN) else "model"
        assert model.lineage["base_sha256"] == sha256(registry.models.load(base) / f"{file}.safetensors")


def test_digits_are_digits() -> None:
    """The classifier recognises what the generator draws, all ten of them."""
    gan, classifier = gz.load_model("dcgan-mnist"), gz.load_model("cnn-mnist")
    assert isinstance(gan, gz.GAN) and isinstance(classifier, gz.Classifier)
    confidence, found = classifier(gan.generate(1000, seed=0)).softmax(1).max(1)
    share = torch.bincount(found, minlength=10) / 1000
    assert confidence.mean() > 0.9 and share.min() > 0.04 and share.max() < 0.17


def test_the_digit_that_was_asked_for_is_drawn() -> None:
    gan, classifier = gz.load_model("dcgan-mnist-conditional"), gz.load_model("cnn-mnist")
    assert isinstance(gan, gz.GAN) and isinstance(classifier, gz.Classifier)
    labels = torch.arange(1000) % 10
    assert gan.classes[3].startswith("3")
    assert (classifier(gan.generate(1000, labels=labels.tolist())).argmax(1) == labels).float().mean() > 0.98


def test_the_wheel_holds_the_weights(tmp_path: Path) -> None:
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, tmp_path)
    shutil.copytree(ROOT / "gantl_zoo", tmp_path / "gantl_zoo", ignore=shutil.ignore_patterns("__pycache__"))
    script = "from setuptools import build_meta; print(build_meta.build_wheel('.'))"
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True
    )
    with zipfile.ZipFile(tmp_path / done.stdout.split()[-1]) as wheel:
        inside = set(wheel.namelist())
    for folder in (path.parent for path in (ROOT / "gantl_zoo" / "released").glob("*/config.json")):
        files = {f"gantl_zoo/released/{folder.name}/{file.name}" for file in folder.iterdir()}
        assert len(files) >= 2 and files <= inside
