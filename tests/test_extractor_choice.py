"""The default extractor: which network it is, for which images, and for which models another one."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.metrics.extractors import ClassifierFeatures, PixelFeatures, dither
from gantl_zoo.metrics.shared import frozen_backbones, stem_digest
from gantl_zoo.runs.extractor import IMAGENET, choose_extractor, choose_or_pixels

FIRST, SECOND = IMAGENET


def blank(channels: int, side: int, count: int = 8) -> ImageData:
    return ImageData(torch.randint(0, 255, (count, channels, side, side), dtype=torch.uint8))


@pytest.fixture
def release(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], Path]:
    """Registers a small network of random weights under a name, for one test."""
    monkeypatch.setattr(registry.models, "_own", dict(registry.models._own))

    def released(name: str) -> Path:
        config = {"channels": 3, "num_classes": 7, "widths": [4, 6]}
        backbone = gz.backbones.build("cnn", **config)
        parts = {"backbone": {"name": "cnn", "config": config}}
        about = {"lineage": {"data": {"name": "imagenet-1k"}}}
        folder = gz.Classifier(backbone, parts, about, name=name).save(tmp_path / "released" / name)
        registry.models.register(name, folder, override=True)
        return folder

    return released


@pytest.fixture
def both(release: Callable[[str], Path]) -> None:
    for name in IMAGENET:
        release(name)


@pytest.fixture
def none_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gantl_zoo.runs.extractor.IMAGENET", ())


def stem_of(name: str) -> str:
    return stem_digest(gz.load_model(name).backbone)  # type: ignore[union-attr]


def test_the_default_depends_on_the_images(both: None) -> None:
    names = {
        shape: choose_extractor("auto", blank(*shape)).name for shape in ((3, 32), (3, 96), (1, 28), (1, 96))
    }
    assert names == {(3, 32): FIRST, (3, 96): FIRST, (1, 28): "cnn-mnist", (1, 96): FIRST}


def test_a_model_is_not_measured_with_the_network_that_it_was_trained_with(both: None) -> None:
    images = blank(3, 32)
    assert choose_extractor("auto", images, {stem_of(FIRST)}).name == SECOND
    assert choose_extractor("auto", images, {stem_of(SECOND)}).name == FIRST
    assert choose_extractor("auto", images, {stem_of(FIRST), stem_of(SECOND)}).name == FIRST
    assert choose_extractor(FIRST, images, {stem_of(FIRST)}).name == FIRST, "it was asked for"


def test_without_the_networks_pixels_are_compared_and_a_note_names_the_plugin(none_installed: None) -> None:
    chosen = choose_extractor("auto", blank(3, 32))
    assert chosen.name == "pixels-pca8" and "plug-in gantl-zoo-imagenet" in chosen.note
    assert not choose_extractor("pixels", blank(3, 32)).note, "it was asked for"
    report = gz.evaluate(colour_gan(), data=blank(3, 32, 20), metrics="kd", samples=10)
    assert chosen.note in report.notes


def test_a_network_that_cant_be_loaded_is_left_out(release: Callable[[str], Path]) -> None:
    images = blank(3, 32)
    (release(FIRST) / "model.safetensors").write_bytes(b"broken")
    release(SECOND)
    assert choose_extractor("auto", images).name == SECOND
    (release(SECOND) / "model.safetensors").write_bytes(b"broken")
    chosen = choose_extractor("auto", images)
    assert isinstance(chosen, PixelFeatures)
    assert f"{SECOND} can't be loaded: " in chosen.note and "model.safetensors" in chosen.note


def test_grey_images_are_repeated_for_a_network_of_colour_images(both: None) -> None:
    grey = blank(1, 96)
    repeated = choose_extractor("auto", grey)
    colour = choose_extractor("auto", grey.fit(None, 3))
    assert torch.equal(repeated(grey.images)[0], colour(grey.fit(None, 3).images)[0])
    assert "the grey channel repeated" in repeated.convention
    assert repeated.convention != colour.convention, "the cache tells them apart"


def test_health_checks_use_a_fast_extractor(both: None) -> None:
    assert choose_or_pixels("auto", blank(3, 32)).name.startswith("pixels")
    assert choose_or_pixels("auto", blank(1, 28)).name == "cnn-mnist"
    assert choose_or_pixels(FIRST, blank(3, 32)).name == FIRST


def test_copies_of_a_backbone_have_one_stem() -> None:
    network = gz.backbones.build("cnn", channels=3)
    half = gz.backbones.build("cnn", channels=3, num_classes=4)
    half.load_state_dict({k: v for k, v in network.state_dict().items() if "blocks.3" not in k}, strict=False)
    assert stem_digest(network) == stem_digest(half) == stem_digest(half.bfloat16()) != ""
    assert stem_digest(network) != stem_digest(gz.backbones.build("cnn", channels=3))
    assert stem_digest(torch.nn.Linear(2, 2)) == stem_digest(None) == ""
    holder = torch.nn.Sequential(network)
    assert frozen_backbones([holder]) == set(), "it is trained with the model"
    network.requires_grad_(False)
    assert frozen_backbones([holder]) == {stem_digest(network)}


def test_channels_last_changes_features_by_rounding_only(both: None) -> None:
    images = blank(3, 32)
    found = choose_extractor("auto", images)
    assert isinstance(found, ClassifierFeatures)
    dithered = images.images.float() / 127.5 - 1 + dither(torch.Size(images.shape))
    plain = gz.load_model(FIRST).backbone.embed(dithered)  # type: ignore[union-attr]
    torch.testing.assert_close(found(images.images)[0], plain, rtol=1e-4, atol=1e-6)


def colour_gan() -> gz.GAN:
    config = SMALL | {"channels": 3, "image_size": 32}
    parts = {"width": 4, "channels": 3, "image_size": 32}
    return gz.build_gan("dcgan", generator_config=config, discriminator_config=parts, name="colour")


def measured_names(folder: Path) -> set[str]:
    rows = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return {name for row in rows for name in row if name != "step"}


@pytest.mark.parametrize("strategy", ["projected", "vision-aided"])
def test_a_run_and_what_it_leaves_are_measured_by_another_network(
    both: None, photos: Path, tmp_path: Path, strategy: str
) -> None:
    settings: dict[str, Any] = {"data": photos, "metrics": "kd", "samples": 20, "steps": 1, "aug": "none"}
    for teacher, expected in ((FIRST, SECOND), (SECOND, FIRST)):
        out = tmp_path / teacher
        kept = gz.transfer(
            colour_gan(), strategy=strategy, strategy_config={"backbone": teacher}, out=out, **settings
        )
        (folder,) = out.iterdir()
        assert measured_names(folder) == {f"kd_{expected}"}
        again = gz.evaluate(kept, data=photos, metrics="kd", samples=20)
        assert again.results[0]["extractor"] == expected and not any("too good" in n for n in again.notes)
        asked = gz.evaluate(kept, data=photos, metrics="kd", samples=20, extractor=teacher)
        assert any(f"trained with the features of {teacher}" in note for note in asked.notes)


def test_a_comparison_with_scratch_uses_one_network(both: None, photos: Path, tmp_path: Path) -> None:
    settings: dict[str, Any] = {"data": photos, "metrics": "kd", "samples": 20, "steps": 1, "aug": "none"}
    config = {"backbone": FIRST}
    gz.transfer(
        colour_gan(), strategy="vision-aided", strategy_config=config, out=tmp_path / "runs",
        compare_scratch=True, **settings,
    )  # fmt: skip
    (folder,) = (tmp_path / "runs").iterdir()
    (scratch,) = folder.glob("*scratch*")
    assert measured_names(folder) == measured_names(scratch) == {f"kd_{SECOND}"}


def test_the_default_works_with_the_plugin_itself() -> None:
    if FIRST not in registry.models:
        pytest.skip("gantl-zoo-imagenet is not installed")
    found = choose_extractor("auto", blank(3, 32))
    assert found.name == FIRST and found.num_features == 1280 and found.batch(32) == found.batch(128) == 32
    assert "at least 128 (bilinear" in found.convention
    features, logits = found(blank(3, 32, 2).images)
    assert features.shape == (2, 1280) and logits is None
