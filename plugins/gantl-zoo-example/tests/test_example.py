"""The plug-in, used by its registered names as users do."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.registry.plugins import installed


def test_the_names_are_there_and_say_whose_they_are() -> None:
    (mine,) = [plugin for plugin in installed() if plugin.name == "gantl-zoo-example"]
    assert {entry.name for entry in mine.entries} == {"resize-conv", "resize-digits", "warm-discriminator"}
    assert gz.generators.info("resize-conv").owner == "gantl-zoo-example"


def test_the_generator_says_which_sizes_it_has() -> None:
    assert gz.generators.build("resize-conv", image_size=8)(torch.randn(2, 64)).shape == (2, 1, 8, 8)
    with pytest.raises(gz.UsageError, match="not 4 times a power of two"):
        gz.generators.build("resize-conv", image_size=28)


def test_the_release_samples_and_needs_this_package() -> None:
    gan = gz.load_model("resize-digits")
    assert isinstance(gan, gz.GAN)
    images = gan.generate(64)
    assert images.shape == (64, 1, 8, 8) and images.std(0).mean() > 0.2
    assert gan.config()["requires"] == {"gantl-zoo-example": "0.1.0"}


def test_the_strategy_lets_the_generator_wait(tmp_path: Path) -> None:
    images = ImageData(torch.randint(0, 255, (20, 1, 8, 8), dtype=torch.uint8), name="noise")
    source = gz.load_model("resize-digits")
    assert isinstance(source, gz.GAN)
    before = source.generate(2)
    for steps, waits in ((3, True), (5, False)):
        trained = gz.transfer(
            "resize-digits",
            data=images,
            strategy="warm-discriminator",
            strategy_config={"steps": 3},
            steps=steps,
            batch=8,
            precision="fp32",
            metrics=(),
            out=tmp_path,
        )
        assert torch.equal(trained.generate(2), before) is waits
    with pytest.raises(gz.UsageError, match="must not be negative"):
        gz.strategies.build("warm-discriminator", steps=-1)
