"""`strategy="auto"`: it looks at the images, chooses, and says why."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.strategy import auto
from gantl_zoo.strategy.auto import Line, choose, novelty


@pytest.fixture(autouse=True)
def fewer_samples(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auto, "SAMPLES", 200)


def inverted(images: ImageData) -> ImageData:
    return replace(images, images=255 - images.images)


@pytest.mark.parametrize("blind", [False, True], ids=["by its discriminator", "by pixels"])
def test_what_the_source_makes_is_near_and_other_images_are_far(images: ImageData, blind: bool) -> None:
    gan = gz.load_model("dcgan-mnist")
    gan = replace(gan, discriminator=None) if blind else gan
    own = ImageData(to_uint8(gan.generate(100, seed=0)))
    assert novelty(gan, own) < 0.2
    assert novelty(gan, inverted(own)) > 1
    assert novelty(gan, images) > 1
    few = [novelty(gan, replace(own, images=own.images[i : i + 10])) for i in (0, 30, 60)]
    assert sum(few) / 3 < 0.4, "few images are not farther by chance alone"
    assert novelty(gan, replace(inverted(own), images=own.images[:1])) < math.inf


def test_classes_and_bodies_that_tell_nothing_are_no_trouble(images: ImageData) -> None:
    knowing = gz.build_gan("resnet", generator_config={"width": 4, "image_size": 32, "num_classes": 3})
    frozen = gz.build_gan("dcgan", "backbone", generator_config={"width": 4})
    for gan in (knowing, frozen):
        own = ImageData(to_uint8(gan.generate(20, seed=0)))
        assert novelty(gan, inverted(own)) > novelty(gan, own)
    assert auto.features(frozen.discriminator, images.images) is None
    assert knowing.discriminator.training is False


def test_the_samples_of_a_saved_source_are_measured_once(
    images: ImageData, monkeypatch: pytest.MonkeyPatch
) -> None:
    gan = gz.load_model("dcgan-mnist")
    assert isinstance(gan, gz.GAN)
    calls: list[int] = []
    original = gz.GAN.generate

    def counting(self: gz.GAN, count: int, **settings: Any) -> Any:
        calls.append(count)
        return original(self, count, **settings)

    monkeypatch.setattr(gz.GAN, "generate", counting)
    with monkeypatch.context() as off:
        off.setenv("GANTL_ZOO_CACHE", "off")
        uncached = novelty(gan, images)
    values = [novelty(gan, images), novelty(gan, images), novelty(gan, inverted(images))]
    assert calls == [200, 200] and values[0] == values[1] == uncached != values[2]
    assert novelty(gan, images, 100) != uncached and calls[2:] == [100]
    novelty(replace(gan, discriminator=None), images)
    with torch.no_grad():
        next(gan.generator.parameters()).mul_(0.9)
    assert novelty(gan, images) != uncached and calls[3:] == [200, 200]
    novelty(replace(gan, folder=None), images)
    novelty(replace(gan, folder=None), images)
    assert len(calls) == 7


def test_the_first_line_of_the_guide_that_fits_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    def names(*cases: tuple[int, float]) -> list[str]:
        found = [choose(shots, far, lambda line: True) for shots, far in cases]
        return [str(Line(advice.strategy, advice.settings)) for advice in found]

    assert names((10, 0.1), (60_000, 0.3)) == ["mine"] * 2
    assert names((10, 0.7), (30, 0.8)) == ["l2-sp"] * 2
    assert names((31, 0.7), (100, 0.7), (35, 1.0), (10, 1.5)) == ["full"] * 4
    assert names((100, 1.2), (1_000, 0.7), (60_000, 1.2)) == ["freeze-d first=1"] * 3
    aided = choose(100, 1.2, lambda line: True, colour=True)
    assert aided.strategy == "vision-aided" and aided.settings["backbone"].endswith("lite0-imagenet")
    assert choose(100, 1.2, lambda line: line.strategy != "vision-aided", colour=True).strategy == "full"

    def without(name: str) -> list[str]:
        cases = [(count, 0.2) for count in (10, 100, 1_000)]
        found = [choose(*case, lambda line: line.strategy != name) for case in cases]
        return [str(Line(advice.strategy, advice.settings)) for advice in found]

    assert without("mine") == ["freeze-d first=1", "full", "freeze-d first=1"]
    near = choose(10, 0.6, lambda line: True)
    assert near.far == 0.6 and near.why.endswith(f"\nchosen: l2-sp; {auto.HELD}")
    lines = (Line("l2-sp", {"weight": 1.0}, 30, 2.0), Line("ewc", {}, 30, 9.0), Line("full"))
    monkeypatch.setattr(auto, "GUIDE", lines)
    assert names((30, 2.0), (30, 2.1), (31, 1.0), (9, 9.1)) == ["l2-sp weight=1.0", "ewc", "full", "full"]
    start = "strategy auto: 30 images, 2.00 standard deviations from samples of the source (far)\n"
    assert choose(30, 2.0, lambda line: True).why == f"{start}chosen: l2-sp weight=1.0"
    reason = " (not installed, or not for these networks)\n"
    skipped = f"{start}not possible: l2-sp weight=1.0"
    assert choose(30, 2.0, lambda line: line != lines[0]).why == f"{skipped}{reason}chosen: ewc"
    assert choose(30, 2.0, lambda line: False).why == f"{skipped}, ewc{reason}chosen: full"


def test_a_strategy_that_these_networks_cannot_have_is_passed_over(gan: gz.GAN, images: ImageData) -> None:
    for line, fits in (
        (Line("freeze-d"), True),
        (Line("freeze-d", {"first": 9}), False),
        (Line("none"), False),
    ):
        assert auto.suits(line, gan, images) is fits
    assert not auto.suits(Line("freeze-d"), replace(gan, discriminator=None), images)


def test_auto_is_resolved_logged_and_kept(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k}
    far = replace(images, images=255 - images.images.repeat(3, 1, 1, 1), labels=None)
    for few, chosen, config in ((20, "full", {}), (110, "freeze-d", {"first": 1})):
        data = images.few(few) if few == 20 else far.few(few)
        made = gz.transfer(
            gz.load_model("dcgan-mnist"), data=data, strategy="auto", out=tmp_path / "runs", **settings
        )
        assert (made.lineage["strategy"], made.lineage["strategy_config"]) == (chosen, config)
        run = max((tmp_path / "runs").iterdir())
        assert (
            run.name.endswith(f"-{chosen}")
            and f"strategy auto: {few} images" in (run / "log.txt").read_text()
        )


def test_auto_takes_no_settings(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=r"strategy auto takes no settings \(first\); name the strategy"):
        gz.transfer(gan, data=images, strategy="auto", strategy_config={"first": 2}, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_source_of_another_size_is_measured_as_it_is(images: ImageData, tmp_path: Path) -> None:
    gan = gz.load_model("dcgan-mnist")
    own = ImageData(to_uint8(gan.generate(40, seed=0)))
    large = replace(own, images=own.images.repeat_interleave(2, 2).repeat_interleave(2, 3))
    coloured = replace(large, images=large.images.expand(-1, 3, -1, -1).contiguous())
    assert novelty(gan, large) < 0.3 and novelty(gan, coloured) < 0.3
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k} | {"steps": 1}
    made = gz.transfer(gan, data=coloured, image_size=56, strategy="auto", out=tmp_path / "runs", **settings)
    (run,) = (tmp_path / "runs").iterdir()
    far = float(
        (run / "log.txt").read_text(encoding="utf-8").partition(" standard deviations from")[0].split()[-1]
    )
    assert far < 0.3 and made.image_shape == (3, 56, 56)


def test_what_can_not_be_measured_is_not_near(gan: gz.GAN, images: ImageData) -> None:
    assert choose(100, math.nan, lambda line: True).strategy == "full"
    assert "not possible" not in choose(10, 1.0, lambda line: False).why
    gan.discriminator.to(torch.device("meta"))  # where the source is, its images go
    with pytest.raises(NotImplementedError, match="meta tensor"):
        novelty(gan, images)
