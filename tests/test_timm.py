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


@pytest.mark.parametrize(
    ("name", "resize", "side", "prepared"),
    [
        ("resnet10t", "auto", 28, 128),  # enlarged
        ("resnet10t", "auto", 128, 128),
        ("resnet10t", "auto", 150, 160),  # the next multiple of 32
        ("resnet10t", "auto", 500, 176),  # at most its own size
        ("test_resnet", "auto", 28, 128),
        ("test_vit", "auto", 28, 160),  # its fixed size
        ("test_vit", None, 28, 160),
        ("resnet10t", None, 28, 64),
        ("resnet10t", None, 500, 512),
        ("resnet10t", 40, 28, 40),
        ("resnet10t", 40, 500, 40),
    ],
)
def test_images_get_the_size_of_the_network(
    name: str, resize: int | str | None, side: int, prepared: int
) -> None:
    network = gz.backbones.build(f"timm:{name}", pretrained=False, resize=resize)
    assert network.prepare(torch.zeros(1, 3, side, side)).shape[-2:] == (prepared, prepared)


def test_images_get_the_networks_own_statistics_and_interpolation() -> None:
    images = torch.rand(1, 3, 32, 32) * 2 - 1
    for name, way in (("tf_efficientnet_lite0", "bicubic"), ("resnet18.tv_in1k", "bilinear")):
        network = gz.backbones.build(f"timm:{name}", pretrained=False)
        settings = network.network.pretrained_cfg
        larger = torch.nn.functional.interpolate(images, size=(128, 128), mode=way, antialias=True)
        mean, std = (torch.tensor(settings[key]).view(1, 3, 1, 1) for key in ("mean", "std"))
        torch.testing.assert_close(network.prepare(images), ((larger + 1) / 2 - mean) / std)
        assert network.config["interpolation"] == way
    other = gz.backbones.build("timm:resnet18", pretrained=False, interpolation="bilinear")
    assert other.interpolation == "bilinear"
    with pytest.raises(gz.UsageError, match="interpolation must be"):
        gz.backbones.build("timm:resnet18", pretrained=False, interpolation="lanczos")


def test_the_released_classifier_resizes_as_before() -> None:
    model = gz.load_model("timm-mobilenetv3-cifar10")
    assert isinstance(model, gz.Classifier)
    images = torch.rand(2, 3, 32, 32) * 2 - 1
    larger = torch.nn.functional.interpolate(images, size=(64, 64), mode="bilinear", antialias=True)
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    network = model.backbone.network
    with torch.no_grad():
        expected = network(((larger + 1) / 2 - mean.view(1, 3, 1, 1)) / std.view(1, 3, 1, 1))
    torch.testing.assert_close(model(images), expected)


def test_a_network_of_one_size_and_one_without_feature_maps_are_explained(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(gz.UsageError, match="timm:test_vit takes images of 160 pixels only, so resize must"):
        gz.backbones.build("timm:test_vit", pretrained=False, resize=128)
    network = gz.backbones.build("timm:test_resnet", pretrained=False, resize=160)
    monkeypatch.delattr(type(network.network), "forward_intermediates")
    with pytest.raises(gz.UsageError, match="timm:test_resnet can't return feature maps; choose another"):
        network.pyramid(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize("way", ["bicubic", "bilinear"])
def test_r1_has_gradients_through_resizing(way: str) -> None:
    network = gz.backbones.build("timm:test_efficientnet", pretrained=False, resize=48, interpolation=way)
    images = torch.rand(1, 3, 16, 16, dtype=torch.float64, requires_grad=True)
    network.double()
    assert torch.autograd.gradgradcheck(lambda x: network.prepare(x)[:, :, :4, :4] ** 2, images)
