"""`transfer --discriminator`: the source's generator, and a discriminator of random weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY

import gantl_zoo as gz
from gantl_zoo.data import ImageData

FEW: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("config")}
NEW: dict[str, Any] = {"discriminator": "resnet", "discriminator_config": {"width": 4}}


def test_the_generator_stays_and_the_discriminator_is_new(gan: gz.GAN) -> None:
    other = gan.with_discriminator("resnet", width=4)
    assert torch.equal(other.generate(2), gan.generate(2))
    assert other.parts["discriminator"]["name"] == "resnet" and gan.parts["discriminator"]["name"] == "dcgan"
    assert other.discriminator(torch.zeros(2, *gan.image_shape)).shape == (2,)
    assert gan.with_discriminator().parts["discriminator"]["name"] == "dcgan"


def test_a_transfer_trains_it_and_resumes(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    source = gan.save(tmp_path / "source")
    settings = FEW | NEW | {"data": photos, "channels": 1, "strategy": "full"}
    whole = gz.transfer(source, out=tmp_path / "whole", **settings)
    assert whole.parts["discriminator"]["config"]["width"] == 4
    assert "--discriminator resnet" in whole.about["training"]["command"]
    assert "--discriminator-arg width=4" in whole.about["training"]["command"]
    assert whole.folder is not None
    run = whole.folder.parent
    assert "discriminator: a new resnet of random weights" in (run / "log.txt").read_text()
    last = run / "checkpoints" / "00000006"
    for file in last.iterdir():  # the run then goes on from step 3
        file.unlink()
    last.rmdir()
    resumed = gz.resume(run, quiet=True)
    assert isinstance(resumed, gz.GAN)
    assert torch.equal(whole.generate(4), resumed.generate(4))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"discriminator": "resnot"}, "unknown discriminator 'resnot'; did you mean resnet"),
        ({"discriminator_config": {"width": 4}}, "need its name: --discriminator NAME"),
        (
            {"discriminator": "dcgan", "strategy": "projected", "strategy_config": {"backbone": "cnn-mnist"}},
            "strategy projected has a discriminator of its own: leave --discriminator dcgan out",
        ),
        ({"discriminator": "resnet", "discriminator_config": {"widht": 4}}, "did you mean width"),
    ],
)
def test_what_can_not_be(
    gan: gz.GAN, images: ImageData, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(gz.ZooError, match=message):
        gz.transfer(gan, out=tmp_path, **(FEW | {"data": images, "strategy": "full"} | settings))
    assert not list(tmp_path.iterdir())
