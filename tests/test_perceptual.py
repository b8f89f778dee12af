"""The perceptual distance: a distance, its gradient, the spread of a set, and metrics of variety."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import run
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

import gantl_zoo as gz
from gantl_zoo.data import ImageData, load, to_float
from gantl_zoo.metrics import perceptual
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.metrics.extract import Images
from gantl_zoo.metrics.extractors import Extractor, PixelFeatures
from gantl_zoo.metrics.perceptual import FeatureMaps
from gantl_zoo.networks.perceptual import PerceptualDistance
from gantl_zoo.runs.extractor import choose_extractor


@pytest.fixture(scope="module")
def distance() -> PerceptualDistance:
    network = gz.load_model("timm-mobilenetv3-cifar10").backbone  # type: ignore[union-attr]
    return PerceptualDistance(network, "timm-mobilenetv3-cifar10")


@pytest.fixture(scope="module")
def pictures() -> Tensor:
    return to_float(load("portraits", image_size=32).images[:6])


def test_it_is_a_distance_that_grows_with_damage(distance: PerceptualDistance, pictures: Tensor) -> None:
    assert distance.name == "pd_timm-mobilenetv3-cifar10"
    with torch.no_grad():
        assert torch.equal(distance(pictures, pictures), torch.zeros(6))
        soft, softer = (gaussian_blur(pictures, [9, 9], [sigma] * 2) for sigma in (0.5, 2.0))
        near, far = distance(pictures, soft), distance(pictures, softer)
        assert (near > 0).all() and (far > near).all()
        torch.testing.assert_close(far, distance(softer, pictures))


def test_it_is_the_squared_difference_of_unit_features() -> None:
    class Two(nn.Module):
        """Two feature maps of two channels."""

        channels = 2

        def pyramid(self, images: Tensor) -> list[Tensor]:
            return [images, images[:, :, ::2, ::2]]

    first, second = torch.zeros(1, 2, 2, 2), torch.zeros(1, 2, 2, 2)
    first[:, 0], second[:, 1] = 5.0, 3.0  # orthogonal at each place, whatever their length
    found = PerceptualDistance(Two(), "two")
    assert found(first, second).tolist() == [4.0]
    second[:, :, 0, 0] = torch.tensor([9.0, 0.0])  # equal at one of four places, and at the only one
    assert found(first, second).tolist() == [1.5]


def test_it_has_a_gradient(distance: PerceptualDistance, pictures: Tensor) -> None:
    images = pictures[:2].clone().requires_grad_()
    distance(images, pictures[2:4]).sum().backward()
    assert images.grad is not None and images.grad.isfinite().all() and images.grad.abs().max() > 0


def test_the_spread_is_the_mean_of_all_pairs(distance: PerceptualDistance, pictures: Tensor) -> None:
    pairs = [(i, j) for i in range(6) for j in range(i)]
    with torch.no_grad():
        values = [float(distance(pictures[[i]], pictures[[j]])) for i, j in pairs]
    assert distance.spread(pictures) == pytest.approx(sum(values) / len(values), rel=1e-4)
    assert distance.spread(pictures[:1].repeat(4, 1, 1, 1)) == pytest.approx(0, abs=1e-5)


def test_what_it_cant_compare_is_refused(distance: PerceptualDistance, pictures: Tensor) -> None:
    with pytest.raises(gz.UsageError, match="linear returns no feature maps"):
        PerceptualDistance(nn.Linear(2, 2), "linear")
    with pytest.raises(gz.DataError, match="takes images of 3 channels, not 2"):
        distance(pictures[:, :2], pictures[:, :2])
    with pytest.raises(gz.DataError, match="images of one shape"):
        distance(pictures, pictures[:2])
    with pytest.raises(gz.DataError, match="at least 2 images, not 1"):
        distance.spread(pictures[:1])
    grey = pictures[:, :1]
    torch.testing.assert_close(
        distance(grey, -grey), distance(grey.repeat(1, 3, 1, 1), -grey.repeat(1, 3, 1, 1))
    )


@pytest.fixture(scope="module")
def digits() -> ImageData:
    return load("digits", image_size=28, shots=120)


@pytest.fixture(scope="module")
def network(digits: ImageData) -> Extractor:
    return choose_extractor("cnn-mnist", digits)


def split(data: ImageData) -> tuple[ImageData, ImageData]:
    order = torch.arange(len(data))
    return data.select(order[:80]), data.select(order[80:])


def test_pd_falls_to_0_for_repeated_images_and_stands_beside_that_of_real_ones(
    digits: ImageData, network: Extractor
) -> None:
    train, held_out = split(digits)
    judge = Evaluator(network, train, held_out, ("pd",), 40)
    varied, few = held_out.images, held_out.images[:4].repeat(10, 1, 1, 1)
    values = [judge(Images.of(images))["pd"] for images in (varied, few, varied[:1].repeat(40, 1, 1, 1))]
    assert values[0] > values[1] > values[2] == pytest.approx(0, abs=1e-6)
    (result,) = judge(Images.of(varied)).results
    body: Any = network
    expected = PerceptualDistance(body.network, "cnn-mnist")
    assert result["name"] == "pd_cnn-mnist" == expected.name
    assert result["value"] == pytest.approx(expected.spread(to_float(varied)), rel=1e-4)
    assert result["floor"] == pytest.approx(expected.spread(to_float(judge_reals(train, 40))), rel=1e-4)
    assert result["better"] == "" and result["on"].startswith("40 samples with each other, beside 40 train")
    assert "feature maps" in result["convention"] and "0 for one repeated image" in str(judge(Images.of(few)))


def judge_reals(train: ImageData, count: int) -> Tensor:
    return Images.part(train, count).take(0, count)


def test_intra_pd_is_the_variety_around_each_training_image(digits: ImageData, network: Extractor) -> None:
    train, held_out = split(digits)
    shots = train.few(10)
    judge = Evaluator(network, train, held_out, ("intra_pd", "pd", "kd"), 60, shots)
    copies, new = shots.images.repeat(6, 1, 1, 1), train.images[:60]
    memorised, varied = judge(Images.of(copies)), judge(Images.of(new))
    assert memorised["intra_pd"] == pytest.approx(0, abs=1e-6) and memorised["pd"] > 0.1
    assert [result["metric"] for result in varied] == ["kd", "intra_pd", "pd"]
    assert 0 < varied["intra_pd"] < varied["pd"]
    floor = varied.result("intra_pd")["floor"]
    assert floor is not None and 0.2 * floor < varied["intra_pd"] < 5 * floor
    with pytest.raises(gz.DataError, match="is for 2 to 100 training images"):
        Evaluator(network, digits.select(torch.arange(120).repeat(2)), held_out, ("intra_pd",), 60)
    with pytest.raises(gz.DataError, match="intra_pd compares samples with the training images"):
        Evaluator(network, None, held_out, ("intra_pd",), 60)


def test_variety_is_measured_on_few_images_only(
    digits: ImageData, network: Extractor, monkeypatch: pytest.MonkeyPatch
) -> None:
    maps = FeatureMaps(network, digits.shape)
    assert maps.most == perceptual.MOST and not maps.stored
    monkeypatch.setattr(perceptual, "BYTES", 4 * maps.num_features * 30)
    train, held_out = split(digits)
    judge = Evaluator(network, train, held_out, ("pd",), 10_000)
    taken: list[int] = []

    def take(start: int, stop: int) -> Tensor:
        taken.append(stop)
        return held_out.images[start:stop]

    (result,) = judge(Images(10_000, digits.shape, take)).results
    assert max(taken) == 30 == result["samples"] == result["real"]


def test_pd_needs_a_network_with_feature_maps(gan: gz.GAN, digits: ImageData) -> None:
    with pytest.raises(gz.UsageError, match="extractor pixels-pca64 has no feature maps"):
        gz.evaluate(gan, data=digits, metrics="pd", extractor="pixels", samples=20)
    with pytest.raises(gz.UsageError, match="has no feature maps"):
        FeatureMaps(PixelFeatures.fit(digits), digits.shape)


def test_evaluate_measures_pd_from_the_command_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = ("--data", "digits", "--samples", 40, "--extractor", "cnn-mnist", "--json", tmp_path / "it.json")
    code, text, _ = run(capsys, "evaluate", "dcgan-mnist", "--metrics", "pd", *data)
    assert code == 0 and "pd_cnn-mnist" in text and "with each other" in text
    (result,) = json.loads((tmp_path / "it.json").read_text(encoding="utf-8"))
    assert result["samples"] == 40 and 0 < result["value"] < 2 * result["floor"]


def test_images_in_memory_have_a_pd_of_their_own(digits: ImageData) -> None:
    report = gz.evaluate("dcgan-mnist", data=digits, metrics="pd", extractor="cnn-mnist", samples=40)
    assert report.result("pd")["floor"] and "beside 40 train images" in report.result("pd")["on"]
