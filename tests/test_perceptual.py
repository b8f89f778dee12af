"""The perceptual distance: a distance, its gradient, and the spread of a set."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn
from torchvision.transforms.functional import gaussian_blur

import gantl_zoo as gz
from gantl_zoo.data import load, to_float
from gantl_zoo.networks.perceptual import PerceptualDistance


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
