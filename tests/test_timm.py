"""timm's models as backbones; small ones, without pre-trained weights."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import gantl_zoo as gz


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("name", ["test_resnet", "test_efficientnet", "test_vit", "mobilenetv3_small_050"])
def test_any_model_is_classifier_and_pyramid(name: str, channels: int) -> None:
    network = gz.backbones.build(f"timm:{name}", channels=channels, num_classes=7, pretrained=False).eval()
    images = torch.rand(2, channels, 28, 28) * 2 - 1
    assert network(images).shape == (2, 7)
    assert network.embed(images).shape == (2, network.embedding_dim)
    maps = network.pyramid(images)
    assert len(maps) >= 3 and all(m.ndim == 4 and len(m) == 2 for m in maps)
    held = [id(p) for block in network.blocks for p in block.parameters()]
    assert len(held) == len(set(held)) and set(held) == {id(p) for p in network.parameters()}


def test_a_discriminator_on_a_timm_backbone_survives_its_folder(tmp_path: Path) -> None:
    config = {"backbone": "timm:test_resnet", "pretrained": False, "freeze": False}
    gan = gz.build_gan("dcgan", "backbone", generator_config={"width": 4}, discriminator_config=config)
    again = gz.load_model(gan.save(tmp_path / "model"))
    assert isinstance(again, gz.GAN)
    images = torch.rand(2, 1, 28, 28)
    assert torch.equal(again.discriminator(images), gan.discriminator(images))


def test_an_unknown_model_and_missing_weights_are_explained() -> None:
    with pytest.raises(gz.UnknownNameError, match=r"timm has no model 'resnet19'; it has for example"):
        gz.backbones.build("timm:resnet19")
    with pytest.raises(gz.WeightsError, match=r"pretrained weights of timm:test_resnet can't be loaded"):
        gz.backbones.build("timm:test_resnet")


@pytest.mark.parametrize("name", ["mobilenetv3_small_050", "efficientnet_lite0", "resnet10t"])
def test_every_block_of_an_unfrozen_discriminator_gets_a_gradient(name: str) -> None:
    config = {"backbone": f"timm:{name}", "pretrained": False, "freeze": False, "width": 4}
    network = gz.discriminators.build("backbone", **config)
    network(torch.rand(2, 1, 28, 28)).sum().backward()
    for block in network.blocks:
        assert any(p.grad is not None for p in block.parameters()), type(block).__name__


@pytest.mark.parametrize("mode", [torch.no_grad, torch.inference_mode])
def test_an_unfrozen_backbone_is_built_and_loaded_without_gradients(mode: type, tmp_path: Path) -> None:
    config = {"backbone": "cnn", "widths": [4, 8], "freeze": False, "width": 4}
    made = gz.build_gan("dcgan", "backbone", generator_config={"width": 4}, discriminator_config=config)
    folder = made.save(tmp_path / "model")
    with mode():
        loaded = gz.load_model(folder)
        gz.build_gan("dcgan", "backbone", generator_config={"width": 4}, discriminator_config=config)
    assert isinstance(loaded, gz.GAN) and len(made.discriminator.blocks) == 3
