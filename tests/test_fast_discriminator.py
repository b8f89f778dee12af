"""The discriminator of FastGAN, and training with a discriminator's own loss terms."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, TINY, new_trainer
from torch import Tensor, nn
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.networks.base import feature_maps
from gantl_zoo.networks.fast_decoders import pooled, quarters
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

DISCRIMINATOR = {"width": 4, "channels": 1, "image_size": 32}
GENERATOR = {"width": 4, "latent_dim": 8, "channels": 1, "image_size": 32}


def build(**config: Any) -> Any:
    return gz.discriminators.build("fast", **DISCRIMINATOR | config)


@pytest.mark.parametrize(
    ("side", "width", "parameters", "logits"),
    [
        (256, 64, 11_526_160, 50),  # published for 256×256: 11.53 million
        (512, 64, 11_526_496, 50),
        (1024, 64, 11_528_192, 50),
        (128, 32, 2_468_272, 25),
        (64, 32, 2_364_320, 25),
    ],
)
def test_parameters_and_shapes(side: int, width: int, parameters: int, logits: int) -> None:
    with torch.device("meta"):
        network = gz.discriminators.build("fast", image_size=side, width=width)
        images = torch.zeros(2, 3, side, side)
        found, terms = network.self_supervised(images)
        assert found.shape == network(images).shape == (2, logits) and terms["reconstruction"].shape == ()
        maps, second = network.encode(images)
    sides = [features.shape[-1] for features in maps]
    assert sides == [min(side, 256) >> i for i in range(len(sides))] and sides[-1] == 8
    assert [features.shape[1] for features in maps] == [64 * width // side for side in sides]
    assert (second is not None) == (side >= 256)
    assert sum(p.numel() for p in network.parameters()) == parameters


@pytest.mark.parametrize("side", [0, 16, 28, 96, 2048])
def test_other_sizes_are_explained(side: int) -> None:
    with pytest.raises(gz.UsageError, match=f"fast: image_size {side} is not a power of two from 32 to"):
        build(image_size=side)


@pytest.mark.parametrize(("side", "width", "classes"), [(32, 4, 0), (64, 4, 3), (256, 4, 2)])
def test_each_parameter_gets_a_gradient(side: int, width: int, classes: int) -> None:
    network = build(image_size=side, width=width, channels=3, num_classes=classes)
    labels = torch.arange(2) % classes if classes else None
    logits, terms = network.self_supervised(torch.rand(2, 3, side, side) * 2 - 1, labels)
    (logits.square().mean() + terms["reconstruction"]).backward()
    missing = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not missing
    held = [id(p) for block in network.blocks for p in block.parameters()]
    assert len(held) == len(set(held)) == len(list(network.parameters()))


def test_both_ways_give_the_same_logits_and_the_label_matters() -> None:
    network = build(image_size=64, num_classes=3).eval()
    images = torch.rand(3, 1, 64, 64) * 2 - 1
    labels = torch.tensor([0, 1, 2])
    assert torch.equal(network.self_supervised(images, labels)[0], network(images, labels))
    assert not torch.equal(network(images, labels), network(images, labels.roll(1)))
    with pytest.raises(gz.UsageError, match="conditioned on 3 classes: pass a label"):
        network.self_supervised(images)


def test_an_earlier_map_scales_the_channels_of_a_later_one() -> None:
    network = build(image_size=64, width=8).eval()
    assert [getattr(block, "skip_length", 0) for block in network.blocks] == [0, 0, 0, 3, 0]
    images = torch.rand(2, 1, 64, 64) * 2 - 1
    maps, _ = network.encode(images)
    last = network.blocks[3]
    plain = (last.convs(maps[2]) + last.shortcut(functional.avg_pool2d(maps[2], 2))) / 2
    squeeze, excite = last.excitation.squeeze, last.excitation.excite
    small = functional.adaptive_avg_pool2d(maps[0], 4)
    gates = excite(functional.silu(squeeze(small))).sigmoid()  # (N, K, 1, 1)
    torch.testing.assert_close(maps[3], plain * gates)
    assert all(map(torch.equal, feature_maps(list(network.blocks)[:-1], images), maps))


def test_quarters_of_images_and_maps_are_of_the_same_place() -> None:
    images = torch.arange(16.0).view(1, 1, 4, 4).expand(4, 1, 4, 4)
    expected = [[[0, 1], [4, 5]], [[2, 3], [6, 7]], [[8, 9], [12, 13]], [[10, 11], [14, 15]]]
    assert quarters(images, torch.arange(4))[:, 0].tolist() == expected
    swapped = quarters(images.contiguous(memory_format=torch.channels_last), torch.tensor([3, 0, 1, 2]))
    assert swapped[:, 0].tolist() == [expected[i] for i in (3, 0, 1, 2)]
    assert pooled(images, 2)[0, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]


@pytest.mark.parametrize("side", [64, 256])
def test_the_decoders_learn_an_image(side: int) -> None:
    network = build(image_size=side, width=4)
    image = torch.linspace(-0.8, 0.8, side).expand(1, 1, side, side)
    images = image.expand(4, -1, -1, -1)
    optimizer = torch.optim.Adam(network.parameters(), 5e-3, (0.5, 0.999))
    losses = []
    for _ in range(30):
        _, terms = network.self_supervised(images)
        optimizer.zero_grad()
        terms["reconstruction"].backward()
        optimizer.step()
        losses.append(float(terms["reconstruction"].detach()))
    assert losses[-1] < losses[0] / 4, losses


def test_without_decoders_there_is_no_term() -> None:
    network = build(reconstruction="none")
    logits, terms = network.self_supervised(torch.zeros(2, 1, 32, 32))
    assert logits.shape == (2, 25) and not terms and network.blocks[-1].decoders is None


def test_a_perceptual_distance_is_neither_trained_nor_saved() -> None:
    network, usual = build(reconstruction="pd_cnn-mnist"), build()
    images = torch.rand(2, 1, 32, 32) * 2 - 1
    usual.load_state_dict(network.state_dict())
    torch.manual_seed(0)
    _, terms = network.self_supervised(images)
    assert network.state_dict().keys() == usual.state_dict().keys()
    decoders = network.blocks[-1].decoders
    distance = decoders.difference.distance
    backbone = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    assert all(map(torch.equal, distance.backbone.parameters(), backbone.parameters()))
    terms["reconstruction"].backward()
    assert all(p.grad is not None for p in decoders.parameters())
    assert not any(p.requires_grad or p.grad is not None for p in distance.backbone.parameters())
    torch.manual_seed(0)
    decoded: list[Tensor] = []
    for one in (usual.blocks[-1].decoders.whole, usual.blocks[-1].decoders.quarter):
        one.register_forward_hook(lambda _module, _inputs, output: decoded.append(output))
    usual.self_supervised(images)  # the same reconstructions and quarters
    torch.manual_seed(0)
    quarter = quarters(images, torch.randint(4, (2,)))
    with torch.no_grad():
        expected = distance(decoded[0], pooled(images, 16)).mean() + distance(decoded[1], quarter).mean()
        count = len(backbone.pyramid(images))
    assert count > 1
    torch.testing.assert_close(terms["reconstruction"], expected / count)


@pytest.mark.parametrize(
    ("loss", "text"),
    [
        ("l1", "reconstruction must be mse, none or pd_NAME of a classifier, not 'l1'"),
        ("pd_", "reconstruction must be mse, none or pd_NAME of a classifier, not 'pd_'"),
        ("pd_cnn-mnits", r"reconstruction: unknown released classifier 'cnn-mnits'; did you mean cnn-mnist"),
        ("pd_dcgan-mnist", "reconstruction: dcgan-mnist is a GAN; a classifier is needed"),
        ("pd_timm:resnet18", "unknown released classifier 'timm:resnet18'"),
    ],
)
def test_another_reconstruction_is_explained(loss: str, text: str) -> None:
    with pytest.raises(gz.ZooError, match=f"fast: {text}" if "timm" not in loss else text):
        build(reconstruction=loss).self_supervised(torch.zeros(2, 1, 32, 32))


def gan(**config: Any) -> gz.GAN:
    return gz.build_gan("fast", generator_config=GENERATOR, discriminator_config=DISCRIMINATOR | config)


def trainer(made: gz.GAN, images: ImageData, name: str = "full", **recipe: Any) -> Trainer:
    settings, rest = recipe.pop("settings", {}), {"steps": 3, "batch": 4, "precision": "fp32"} | recipe
    machine = engine.choose("cpu", "fp32")
    return new_trainer(made, build_strategy(name, settings), images.fit(32, 1), Recipe(**rest), machine)


@pytest.mark.parametrize(
    "settings",
    [
        {"loss": "hinge", "aug": "diffaugment", "r1": 0.1},
        {"accumulate": 2, "loss": "relativistic"},
        {"regularizer": "apa+consistency+r2", "regularizer_config": {"apa.p": 0.5, "r2.every": 1}},
        {"name": "freeze-d", "settings": {"first": 1}, "aug": "ada"},
        {"name": "vision-aided+freeze-d", "settings": {}},
        {"name": "scale-shift", "settings": {"network": "discriminator"}},
    ],
    ids=str,
)
def test_training_adds_the_term_of_the_real_images(settings: dict[str, Any], images: ImageData) -> None:
    made = gan()
    before = {name: p.detach().clone() for name, p in made.discriminator.named_parameters()}
    running = trainer(made, images, **settings)
    for step in range(2):
        losses = running.step(step, torch.arange(4))
        assert losses["reconstruction"] > 0 and all(loss.isfinite() for loss in losses.values())
    trained = {id(p) for p in running.plan.parameters("discriminator")}
    for name, parameter in made.discriminator.named_parameters():
        assert torch.equal(parameter, before[name]) != (id(parameter) in trained), name


def test_a_class_conditional_one_gets_the_labels(images: ImageData) -> None:
    made = gz.build_gan(
        "fast", generator_config=GENERATOR | {"num_classes": 2}, discriminator_config=DISCRIMINATOR
    )
    table = made.discriminator.blocks[-1].classes.weight  # type: ignore[union-attr]
    before = table.detach().clone()
    running = trainer(made, images, accumulate=2)
    losses = running.step(0, torch.arange(4))
    assert losses["reconstruction"] > 0 and not torch.equal(table, before)


class Watched(nn.Module):
    """A discriminator without BatchNorm that keeps the images it is called with."""

    num_classes, image_shape = 0, (1, 32, 32)

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Flatten(), nn.Linear(32 * 32, 1)])
        self.usual: list[Tensor] = []
        self.own: list[Tensor] = []

    def forward(self, images: Tensor) -> Tensor:
        self.usual.append(images.detach())
        return self.blocks[1](self.blocks[0](images)).squeeze(1)

    def self_supervised(self, images: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        self.own.append(images.detach())
        logits = self.blocks[1](self.blocks[0](images)).squeeze(1)
        return logits, {"size": self.blocks[1].weight.square().sum()}


@pytest.mark.parametrize("loss", ["hinge", "relativistic"])
def test_the_hook_replaces_one_pass_of_the_real_images(loss: str, images: ImageData) -> None:
    made = gan()
    made.discriminator = Watched()
    running = trainer(made, images, loss=loss, r1=0.1)
    losses = running.step(0, torch.arange(4))
    real = images.fit(32, 1).images[:4].float() / 127.5 - 1
    (own,) = made.discriminator.own  # type: ignore[union-attr]
    torch.testing.assert_close(own, real)
    # fake images and R1's real ones; in the generator's update `relativistic` needs real ones, too
    calls = [len(called) for called in made.discriminator.usual]  # type: ignore[union-attr]
    assert calls == [4, 4, 8 if loss == "relativistic" else 4]
    assert losses["size"] > 0


def test_reconstructions_are_of_augmented_images(images: ImageData) -> None:
    made = gan()
    made.discriminator = Watched()
    trainer(made, images, aug="diffaugment").step(0, torch.arange(4))
    (own,) = made.discriminator.own  # type: ignore[union-attr]
    assert not torch.allclose(own, images.fit(32, 1).images[:4].float() / 127.5 - 1, atol=0.1)


def test_a_saved_model_and_a_resumed_run_are_the_same(
    photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = TINY | {"data": photos, "image_size": 32, "channels": 1, "loss": "hinge", "aug": "diffaugment"}
    settings |= {"discriminator_config": {"width": 4}, "generator_config": SMALL, "accumulate": 2}
    whole = gz.train("fast", out=tmp_path / "whole", **settings)
    assert whole.folder is not None
    again, shown = gz.load_model(whole.folder), whole.generate(2)
    assert torch.equal(again.discriminator(shown), whole.discriminator(shown))

    def on_step(self: RunRecorder, done: int) -> None:
        if done == 5:
            raise OSError("the machine is gone")

    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        patch.setattr(RunRecorder, "on_step", on_step)
        gz.train("fast", out=tmp_path / "broken", **settings)
    resumed = gz.resume(next((tmp_path / "broken").iterdir()))
    for role in ("generator", "discriminator"):
        theirs = getattr(resumed, role).state_dict()
        assert all(torch.equal(t, theirs[name]) for name, t in getattr(whole, role).state_dict().items())
    assert '"reconstruction"' in (whole.folder.parent / "stats.jsonl").read_text()
