"""`strategy="auto"`: it looks at the images, chooses, and says why."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo import advise
from gantl_zoo.advise import choose, novelty
from gantl_zoo.data import ImageData, to_uint8


def test_what_the_source_makes_is_near_and_noise_is_far(images: ImageData) -> None:
    gan = gz.load_model("dcgan-mnist")
    own = ImageData(to_uint8(gan.generate(30, seed=0)))
    assert 0.7 < novelty(gan, own) < 1.3
    assert novelty(gan, images) > 1.5 * novelty(gan, own)
    assert novelty(gan, replace(own, images=own.images[:3])) < 2, "a few images are enough"


def test_the_first_line_of_the_guide_that_fits_is_followed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert choose(10, 1.5).strategy == choose(60_000, 9.0).strategy == "full"
    monkeypatch.setattr(
        advise, "GUIDE", ((30, 2.0, "freeze-d"), (30, 9.0, "l2-sp"), (math.inf, math.inf, "full"))
    )
    assert choose(30, 2.0).why == (
        "strategy auto: 30 images, 2.00 times as far from the source's samples as these from each other, so "
        "freeze-d"
    )
    assert [choose(30, 2.1).strategy, choose(31, 1.0).strategy, choose(9, 9.1).strategy] == [
        "l2-sp",
        "full",
        "full",
    ]


def test_auto_is_resolved_logged_and_kept(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    settings: Any = {k: v for k, v in TINY.items() if "config" not in k}
    made = gz.transfer(gan, data=images.few(20), strategy="auto", out=tmp_path, **settings)
    assert made.lineage["strategy"] == "full"
    (run,) = tmp_path.iterdir()
    assert run.name.endswith("-full") and "strategy auto: 20 images" in (run / "log.txt").read_text()


def test_auto_takes_no_settings(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    with pytest.raises(gz.UsageError, match=r"strategy auto takes no settings \(first\); name the strategy"):
        gz.transfer(gan, data=images, strategy="auto", strategy_config={"first": 2}, out=tmp_path)
    assert not list(tmp_path.iterdir())
