"""Distances against closed forms, and metrics that move as theory says."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo import judge
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.metrics.distance import frechet
from gantl_zoo.metrics.evaluate import Evaluator
from gantl_zoo.metrics.features import ClassifierFeatures, PixelFeatures


def test_frechet_of_two_gaussians_is_the_closed_form() -> None:
    """Diagonal Gaussians: |m1 - m2|² + Σ (s1 - s2)²."""
    generator = torch.Generator().manual_seed(0)
    shape = (200_000, 3)
    first = torch.randn(shape, generator=generator, dtype=torch.float64)
    second = 1 + 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
    assert frechet(first, second) == pytest.approx(3 * 1 + 3 * 1, rel=0.02)


def test_frechet_is_zero_on_itself_and_blind_to_order() -> None:
    features = torch.randn(500, 8, dtype=torch.float64)
    assert frechet(features, features.flip(0)) == pytest.approx(0, abs=1e-6)


def test_frechet_refuses_what_it_cant_measure() -> None:
    good = torch.randn(10, 2, dtype=torch.float64)
    with pytest.raises(gz.DataError, match="at least 2 images a side, not 10 and 1"):
        frechet(good, good[:1])
    with pytest.raises(gz.DataError, match="NaN or infinity"):
        frechet(good, good * float("nan"))


def extractor() -> ClassifierFeatures:
    found = judge.choose_extractor("cnn-mnist", ImageData(torch.zeros(1, 1, 28, 28, dtype=torch.uint8)))
    assert isinstance(found, ClassifierFeatures)
    return found


def test_noise_and_missing_modes_raise_the_distance(images: ImageData) -> None:
    judge = Evaluator(extractor(), images, images, metrics=("fd",))
    real = to_float(images.images)
    same = judge(real)["fd"]
    noisy = judge((real + 0.5 * torch.randn_like(real)).clamp(-1, 1))["fd"]
    half = judge(real[images.labels == 0])["fd"]
    assert same < 1e-3 < noisy and same < half


def test_the_extractor_is_in_eval_mode_whatever_the_caller_did(images: ImageData) -> None:
    features = extractor()
    before = features(images.images)
    features.network.train()
    assert torch.equal(features(images.images), before)
    assert not features.network.training


def test_the_extractor_refuses_other_channels(images: ImageData) -> None:
    with pytest.raises(gz.DataError, match="extractor cnn-mnist sees 1 channels, these images have 3"):
        extractor()(images.fit(None, 3).images)


def test_pixels_work_for_any_images(photos: Path) -> None:
    from gantl_zoo import data

    colour = data.load(photos, image_size=32)
    features = PixelFeatures.fit(colour, dimensions=5)
    assert features.name == "pixels-pca5" and features(colour.images).shape == (len(colour), 5)


def test_a_report_names_extractor_counts_and_floor(photos: Path, gan: gz.GAN) -> None:
    report = gz.evaluate(gan, data=photos, channels=1, metrics=("fd",), samples=12, extractor="pixels")
    (result,) = report.results
    assert result["name"].startswith("fd_pixels-pca")
    assert "12 samples against" in result["on"] and "test images of photos" in result["on"]
    assert result["floor"] > 0 and report["fd"] == result["value"] and "× the floor" in str(report)
    with pytest.raises(KeyError):
        report["kd"]


def test_unknown_metrics_and_extractors_are_explained(photos: Path, gan: gz.GAN) -> None:
    with pytest.raises(gz.UsageError, match="unknown metric fid; there are: fd, classes"):
        gz.evaluate(gan, data=photos, channels=1, metrics=("fid",))
    with pytest.raises(gz.UsageError, match="extractor dcgan-mnist is a GAN"):
        gz.evaluate(gan, data=photos, channels=1, extractor="dcgan-mnist")
    with pytest.raises(gz.DataError, match=r"photos has 3; convert the data with --channels 1"):
        gz.evaluate(gan, data=photos)


def test_classes_count_what_a_classifier_of_this_data_sees(images: ImageData) -> None:
    features = extractor()
    mine = ClassifierFeatures(features.name, features.network, trained_on="halves")
    report = Evaluator(mine, images, images, metrics=("classes",))(to_float(images.images))
    assert {r["metric"] for r in report.results} == {"class_share_min", "class_share_max", "confidence"}
    assert 0 <= report["class_share_min"] <= report["class_share_max"] <= 1
    assert Evaluator(features, images, images, metrics=("classes",))(to_float(images.images)).results == []


def test_fewer_held_out_images_are_a_random_part_of_them(images: ImageData) -> None:
    """Sorted by kind, the first ones would stand for one kind only."""
    sorted_images = images.select(images.labels.argsort(stable=True))  # type: ignore[union-attr]
    judge = Evaluator(PixelFeatures.fit(images), images, sorted_images, metrics=("fd",), samples=20)
    kinds = {tuple(row.tolist()) for row in judge.real.sign()[:, :1]}
    assert len(judge.real) == 20 and len(kinds) == 2
