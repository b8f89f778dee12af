"""Every figure that a report shows gets worse if images are damaged, repeated or of another kind."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import cache

import pytest
import torch
from torch import Tensor
from torch.nn import functional
from torchvision.transforms.functional import gaussian_blur

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData, glyphs, load, to_uint8
from gantl_zoo.metrics.evaluator import Evaluator
from gantl_zoo.metrics.extract import Images
from gantl_zoo.metrics.extractors import Extractor, Outputs
from gantl_zoo.metrics.report import Report
from gantl_zoo.runs.extractor import IMAGENET, choose_extractor

COUNT = 70  # images of each kind: the Fréchet distance on 64 components needs more than 64


def portraits() -> Tensor:
    return torch.cat([load("portraits", split=split).images for split in ("train", "test")])


def faces() -> Tensor:
    return to_uint8(gz.load_model("dcgan-faces").generate(2 * COUNT, seed=7, batch_size=20))  # type: ignore[union-attr]


def letters() -> Tensor:
    """Printed letters in random colours on random backgrounds, 32×32."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(glyphs.COUNTS, "train", 2 * COUNT)
        grey = glyphs.load.__wrapped__("train", image_size=32).images.float() / 255
    generator = torch.Generator().manual_seed(0)
    back, front = (torch.rand(len(grey), 3, 1, 1, generator=generator) * 128 for _ in range(2))
    return (grey * (front + 127) + (1 - grey) * back).round().to(torch.uint8)


SETS: dict[str, Callable[[], Tensor]] = {"portraits": portraits, "faces": faces, "letters": letters}


@cache
def halves(name: str) -> tuple[Tensor, Tensor]:
    """Real images and a fresh half, in a random order."""
    images = SETS[name]()
    order = torch.randperm(len(images), generator=torch.Generator().manual_seed(3))
    size = min(COUNT, len(images) // 2)
    return images[order[:size]], images[order[size : 2 * size]]


def damaged(fresh: Tensor, other: Tensor) -> Iterator[tuple[str, Tensor]]:
    """The fresh half after each kind of damage."""
    side, count = fresh.shape[-1], len(fresh)
    noise = 25 * torch.randn(fresh.shape, generator=torch.Generator().manual_seed(0))
    yield (
        "blur",
        gaussian_blur(fresh.float(), [side // 8 * 2 + 1] * 2, [side / 48] * 2).round().to(torch.uint8),
    )
    yield "noise", (fresh + noise).round().clamp(0, 255).to(torch.uint8)
    yield "one image repeated", fresh[:1].expand_as(fresh)
    yield "ten images repeated", fresh[:10].repeat(count // 10 + 1, 1, 1, 1)[:count]
    resized = functional.interpolate(other.float(), size=(side, side), mode="bilinear", antialias=True)
    yield "another kind", resized.repeat(2, 1, 1, 1)[:count].round().to(torch.uint8)


class Once(Extractor):
    """Computes the features of equal images once."""

    def __init__(self, inner: Extractor) -> None:
        self.inner, self.channels, self.num_features = inner, inner.channels, inner.num_features
        self.name, self.sha256, self.convention = inner.name, inner.sha256, inner.convention

    def batch(self, side: int) -> int:
        return 1000

    def forward(self, images: Tensor) -> Outputs:
        unique, place = torch.unique(images, dim=0, return_inverse=True)
        return self.inner(unique)[0][place], None


def shown(real: Tensor, samples: Tensor, extractor: Extractor) -> Report:
    evaluator = Evaluator(extractor, None, ImageData(real), samples=len(samples))
    return evaluator(Images.of(samples))


@pytest.mark.parametrize("name", SETS)
def test_every_shown_figure_is_worse_for_damaged_images(name: str) -> None:
    if IMAGENET[0] not in registry.models:
        pytest.skip("pixels, which are compared without gantl-zoo-imagenet, hardly notice blur")
    real, fresh = halves(name)
    other = halves("faces" if name == "letters" else "letters")[1]
    extractor = Once(choose_extractor("auto", ImageData(real)))
    best = shown(real, fresh, extractor)
    expected = {"kd", "complement_precision", "recall"} | ({"fd"} if len(real) > 64 else set())
    assert {result["metric"] for result in best} == expected
    for kind, samples in damaged(fresh, other):
        for result in shown(real, samples, extractor):
            before, after = best[result["metric"]], result["value"]
            worse = after > before if result["better"] == "lower" else after < before
            assert worse, f"{result['name']} is {after:.4g} for {kind}, {before:.4g} for real images"
