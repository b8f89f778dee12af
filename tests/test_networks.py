"""Every registered network, at every size that it claims."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, sized
from torch import nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData, to_float
from gantl_zoo.networks.backbones import cnn
from gantl_zoo.networks.pretrained import pretrained_config
from gantl_zoo.testing import check_backbone, check_discriminator, check_generator
from gantl_zoo.training.classifier import accuracy

CASES = [(28, 1, 0), (32, 3, 0), (64, 3, 0), (28, 1, 3), (32, 3, 3)]  # size, channels, classes
KINDS = {"generators": check_generator, "discriminators": check_discriminator, "backbones": check_backbone}


@pytest.mark.parametrize(("size", "channels", "classes"), CASES)
@pytest.mark.parametrize(("kind", "name"), [(k, n) for k in KINDS for n in registry.REGISTRIES[k].names()])
def test_networks_pass_the_conformance_suite(
    kind: str, name: str, size: int, channels: int, classes: int
) -> None:
    source = registry.REGISTRIES[kind]
    sizes = {"image_size": size, "channels": channels, "latent_dim": 8, "num_classes": classes or None}
    takes = source.configure(name)
    if classes and "num_classes" not in takes:
        pytest.skip(f"{name} can't be class-conditional")
    config = {k: v for k, v in sizes.items() if k in takes and v is not None}
    config = sized(kind, name, **config)
    try:
        source.build(name, **config)
    except gz.UsageError as error:
        pytest.skip(str(error))
    KINDS[kind](name, config)


@pytest.mark.parametrize(
    ("name", "width"), [*((name, 16) for name in registry.generators.names()), ("dcgan", 64)]
)
def test_an_image_depends_on_its_seed_alone(name: str, width: int) -> None:
    gan = gz.build_gan(name, generator_config=sized("generators", name, width=width))
    for block in gan.generator.modules():  # running statistics that matter
        if isinstance(block, nn.BatchNorm2d):
            block.running_mean.normal_()  # type: ignore[union-attr]
    many = gan.generate(37, seed=5)
    assert torch.equal(many, gan.generate(37, seed=5))
    assert torch.equal(many[9:11], gan.generate(2, seed=14))
    assert torch.equal(many[[3, 30]], gan.generate(seeds=[8, 35]))
    assert not torch.equal(many[0], many[1])
    assert gan.discriminator is None or gan.discriminator(many[:2]).requires_grad, (
        "images are ordinary tensors"
    )
    gan.generator.train()
    assert torch.equal(many, gan.generate(37, seed=5)) and gan.generator.training


def test_whoever_looks_puts_each_block_back_as_it_was(gan: gz.GAN, images: ImageData) -> None:
    """A frozen block is in eval mode while the others are trained."""
    model = gz.build_classifier("cnn", {"widths": [4, 8]})
    floats = to_float(images.images)
    looks: list[tuple[nn.Module, Callable[[], object]]] = [
        (gan.generator, lambda: gan.generate(2)),
        (model.backbone, lambda: model(floats)),
        (model.backbone, lambda: accuracy(model.backbone, images)),
    ]
    for network, look in looks:
        network.train()
        network.blocks[0].eval()  # type: ignore[union-attr,index]
        before = [module.training for module in network.modules()]
        look()
        assert [module.training for module in network.modules()] == before and len(set(before)) == 2
    with pytest.raises(RuntimeError):
        model(torch.zeros(1, 7, 28, 28))
    assert [module.training for module in model.backbone.modules()] == before


def test_truncation_draws_images_together() -> None:
    gan = gz.build_gan("dcgan")
    assert gan.generate(32, truncation=0.3).std(0).mean() < gan.generate(32).std(0).mean()


@pytest.mark.parametrize(
    "call", [{"n": -1}, {"seed": -3}, {"truncation": 0.0}, {"n": 2, "labels": [1, 2]}], ids=str
)
def test_generate_refuses_what_has_no_meaning(gan: gz.GAN, call: dict[str, Any]) -> None:
    with pytest.raises(gz.UsageError):
        gan.generate(**call)


@pytest.mark.parametrize("size", [0, 12, 30, 48])
def test_dcgan_says_which_sizes_there_are(size: int) -> None:
    with pytest.raises(gz.UsageError, match="not 7 or 4 times a power of two"):
        gz.generators.build("dcgan", image_size=size)


@pytest.mark.parametrize("norm", ["none", "batch", "spectral"])
def test_dcgan_discriminators_norms(norm: str) -> None:
    network = gz.discriminators.build("dcgan", width=4, norm=norm, dropout=0.1)
    kinds = {type(module).__name__ for module in network.modules()}
    assert ("BatchNorm2d" in kinds) == (norm == "batch")
    assert ("ParametrizationList" in kinds) == (norm == "spectral")
    with pytest.raises(gz.UsageError, match="unknown norm 'layer'; there are: none, batch, spectral"):
        gz.discriminators.build("dcgan", norm="layer")
    with pytest.raises(gz.UsageError, match=r"resnet: unknown norm 'spectrl'; did you mean spectral\?"):
        gz.discriminators.build("resnet", norm="spectrl")


@pytest.mark.parametrize(("flat", "seen"), [(0, 13), (1, 27)])  # 29, but for the border
def test_flat_blocks_let_the_dcgan_discriminator_see_more_of_the_image(flat: int, seen: int) -> None:
    network = gz.discriminators.build("dcgan", width=4, flat=flat)
    assert len(network.blocks) == 3 + flat
    images = torch.randn(2, 1, 28, 28, requires_grad=True)
    features = images
    for block in network.blocks[:-1]:
        features = block(features)
    assert features.shape == (2, 4 << (1 + flat), 7, 7)
    (slope,) = torch.autograd.grad(features[:, :, 3, 3].sum(), images)
    assert slope.abs().sum(dim=(0, 1, 3)).count_nonzero() == seen
    with pytest.raises(gz.UsageError, match="flat must be a number of blocks from 0 to 8, not -1"):
        gz.discriminators.build("dcgan", flat=-1)


def test_a_discriminator_on_another_gans_discriminator_needs_that_gan_once(
    gan: gz.GAN, tmp_path: Path
) -> None:
    gan.save(tmp_path / "source")  # of another width than a builder's usual one
    config = {"backbone": "discriminator", "of": str(tmp_path / "source")}
    made = gz.build_gan("dcgan", "backbone", generator_config=SMALL, discriminator_config=config)
    made.save(tmp_path / "made")
    shutil.rmtree(tmp_path / "source")
    again = gz.load_model(tmp_path / "made")
    shown = made.generate(2)
    assert torch.equal(again.discriminator(shown), made.discriminator(shown))


def test_a_discriminator_stands_on_a_released_backbone() -> None:
    network = gz.discriminators.build("backbone", backbone="cnn", weights="cnn-mnist", freeze=True)
    released = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    for name, tensor in released.state_dict().items():
        assert torch.equal(tensor, network.backbone.state_dict()[name])
    network.train()
    assert not network.backbone.training and network.heads.training
    network(torch.zeros(2, 1, 28, 28)).sum().backward()
    assert all(p.grad is None for p in network.backbone.parameters())
    assert all(p.grad is not None for p in network.heads.parameters())


@pytest.fixture
def colliding() -> Iterator[list[dict[str, Any]]]:
    """What a backbone is built with whose arguments are called as those of the discriminator on it."""
    calls: list[dict[str, Any]] = []

    @gz.backbones.register("colliding")
    @gz.starting_weights(weights="none", pretrained=False)
    def backbone(
        *,
        channels: int = 1,
        num_classes: int = 10,
        width: int = 4,
        weights: str = "best",
        pretrained: bool = True,
    ) -> Any:
        calls.append({"width": width, "weights": weights, "pretrained": pretrained})
        return cnn.CNN(channels, num_classes, [width, 2 * width], 0.0)

    yield calls
    gz.backbones._own.pop("colliding")


def test_arguments_of_a_backbone_may_be_called_as_those_of_the_discriminator(
    tmp_path: Path, colliding: list[dict[str, Any]]
) -> None:
    inner = {"width": 3, "weights": "best"}
    config = {"backbone": "colliding", "width": 5, "backbone_config": inner}
    network = gz.discriminators.build("backbone", **config)
    assert colliding.pop() == inner | {"pretrained": True} and not network.random_features
    assert network.heads[0][0].out_channels == 5 and network.backbone.blocks[0][0].out_channels == 3
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator="backbone", discriminator_config=config)
    gan.save(tmp_path / "gan")
    kept = json.loads((tmp_path / "gan" / "config.json").read_text())["discriminator"]["config"]
    assert kept["width"] == 5 and kept["backbone_config"] == {"width": 3}
    colliding.clear()
    again = gz.load_model(tmp_path / "gan")
    assert all(call == {"width": 3, "weights": "none", "pretrained": False} for call in colliding)
    shown = gan.generate(2)
    assert torch.equal(again.discriminator(shown), gan.discriminator(shown))  # type: ignore[union-attr]


def test_a_trained_backbone_with_such_arguments_stands_under_a_strategy(
    tmp_path: Path, colliding: list[dict[str, Any]]
) -> None:
    classifier = gz.build_classifier("colliding", config={"width": 3, "weights": "none"})
    classifier.save(tmp_path / "classifier")
    config = pretrained_config("projected", str(tmp_path / "classifier"), (1, 28, 28), width=5)
    network = gz.discriminators.build("backbone", **config)
    assert network.heads[0][0].out_channels == 5 and network.backbone.blocks[0][0].out_channels == 3


def test_flat_arguments_of_a_backbone_are_kept_flat(tmp_path: Path) -> None:
    config = {"backbone": "cnn", "widths": [4, 8]}
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator="backbone", discriminator_config=config)
    gan.save(tmp_path / "gan")
    kept = json.loads((tmp_path / "gan" / "config.json").read_text())["discriminator"]["config"]
    assert kept["widths"] == [4, 8] and "backbone_config" not in kept
    gz.load_model(tmp_path / "gan")  # raises where it does not fit


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"weights": "dcgan-mnist"}, "weights: dcgan-mnist is a GAN; a classifier is needed"),
        ({"weights": "cnn-mnist", "channels": 3}, "to start from it, pass .*'channels': 1"),
        (
            {"backbone_config": {"widths": [4]}, "pooling": 2},
            "backbone: pass pooling in backbone_config",
        ),
        ({"backbone_config": {"channels": 3}}, "channels=3 in backbone_config contradicts sees=1"),
        ({"backbone_config": {"widht": 3}}, "backbone 'cnn' takes no argument 'widht'"),
        ({"backbone": "cnm"}, "unknown backbone 'cnm'; did you mean cnn"),
    ],
)
def test_a_wrong_backbone_is_explained(config: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.ZooError, match=said):
        gz.discriminators.build("backbone", **config)
