"""`strategy="auto"`: it looks at the images, chooses, and says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.advise import choose, novelty
from gantl_zoo.data import ImageData, to_uint8


def test_what_the_source_makes_is_near_and_noise_is_far(images: ImageData) -> None:
    gan = gz.load_model("dcgan-mnist")
    own = ImageData(to_uint8(gan.generate(30, seed=0)))
    assert 0.7 < novelty(gan, own) < 1.3
    assert novelty(gan, images) > 1.5 * novelty(gan, own)
    assert novelty(gan, replace(own, images=own.images[:3])) < 2, "a few images are enough"


def test_few_images_leave_the_first_blocks_of_the_discriminator_alone() -> None:
    assert choose(10, 1.5).strategy == "freeze-d" and choose(100, 1.5).strategy == "full"
    assert choose(10, 1.5).why == (
        "strategy auto: 10 images, 1.50 times as far from the source's samples as these from each other, so "
        "freeze-d"
    )


def test_auto_is_resolved_logged_and_kept(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k}
    made = gz.transfer(gan, data=images.few(20), strategy="auto", out=tmp_path, **settings)
    assert made.lineage["strategy"] == "freeze-d"
    (run,) = tmp_path.iterdir()
    assert run.name.endswith("-freeze-d") and "strategy auto: 20 images" in (run / "log.txt").read_text()


def test_auto_takes_no_settings(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=r"strategy auto takes no settings \(first\); name the strategy"):
        gz.transfer(gan, data=images, strategy="auto", strategy_config={"first": 2}, out=tmp_path)
    assert not list(tmp_path.iterdir())
