"""Where the two halves meet: a discriminator as a backbone, samples as a classifier's training images."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import sized
from PIL import Image
from typer.testing import CliRunner

import gantl_zoo as gz
from gantl_zoo import data, registry
from gantl_zoo.bench import classifiers as bench
from gantl_zoo.cli.app import app
from gantl_zoo.data import ImageData, to_float, to_uint8
from gantl_zoo.runs import pseudo_labels
from gantl_zoo.runs.pseudo_labels import PseudoLabels
from gantl_zoo.storage.folder import sha256
from gantl_zoo.storage.schema import read_config

QUICK = {"epochs": 2, "batch": 8, "precision": "fp32"}


def test_the_discriminator_of_a_release_gives_its_features(images: ImageData) -> None:
    network = gz.backbones.build("discriminator", of="dcgan-mnist", num_classes=3).eval()
    gan = gz.load_model("dcgan-mnist")
    real = to_float(images.images[:4])
    first = gan.discriminator.blocks[0](real)
    assert torch.equal(network.pyramid(real)[0], first)
    assert len(network.pyramid(real)) == len(gan.discriminator.blocks) - 1
    pooled = torch.nn.functional.adaptive_max_pool2d(first, 4).flatten(1)
    assert torch.equal(network.embed(real)[:, : first.shape[1] * 16], pooled)
    assert network.embed(real).shape == (4, network.embedding_dim) and network(real).shape == (4, 3)
    torch.testing.assert_close(network.classify(network.embed(real)), network(real))
    assert network(torch.zeros(2, 1, 32, 32)).shape == (2, 3), "images of another size are resized"


def test_a_gan_is_the_source_of_a_classifier(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    gan.save(tmp_path / "gan")
    model = gz.classify_transfer(
        tmp_path / "gan", data=str(halves(images, tmp_path)), strategy="freeze", out=tmp_path, **QUICK
    )
    again = gz.load_model(model.folder)  # needs neither the GAN nor its name
    before, after = gan.discriminator.state_dict(), again.backbone.body.state_dict()
    for name, tensor in after.items():
        assert torch.equal(tensor, before[f"blocks.{name}"]), "a linear probe leaves the features alone"
    shown = to_float(images.images)
    torch.testing.assert_close(again(shown), model(shown))
    assert again.num_classes == 2
    assert model.lineage["base_sha256"] == sha256(tmp_path / "gan" / "discriminator.safetensors")
    described = read_config(model.folder)["backbone"]["config"]
    assert described["network"] == "dcgan" and "of" not in described
    more = gz.classify_transfer(model.folder, data=str(halves(images, tmp_path)), out=tmp_path, **QUICK)
    assert more.lineage["base_lineage"]["strategy"] == "freeze"


def test_a_look_at_held_out_images_does_not_end_the_learning_of_statistics(tmp_path: Path) -> None:
    settings: dict[str, Any] = QUICK | {"epochs": 3, "batch": 25}
    model = gz.classify_train("cnn", data="digits", shots=50, out=tmp_path, **settings)
    counts = [int(t) for name, t in model.backbone.state_dict().items() if name.endswith("batches_tracked")]
    assert counts and set(counts) == {3 * 2}, "each batch of each epoch, though each epoch ends with a look"


@pytest.mark.parametrize(
    "wrong",
    [
        {"shift": -1}, {"smoothing": 2}, {"smoothing": 1.0}, {"weight_decay": -1}, {"epochs": 0},
        {"batch": 1}, {"lr": 0}, {"seed": -1}, {"seed": 1 << 70}, {"epochs": 1.5}, {"flip": 1},
        {"lr": float("inf")}, {"weight_decay": "much"},
    ],
    ids=str,
)  # fmt: skip
def test_impossible_recipes_are_refused(images: ImageData, tmp_path: Path, wrong: dict[str, Any]) -> None:
    with pytest.raises(gz.UsageError, match=next(iter(wrong)).replace("_", ".")):
        gz.classify_train("cnn", data=images, out=tmp_path / "runs", **QUICK | wrong)
    assert not (tmp_path / "runs").exists()


@pytest.mark.parametrize(
    ("wish", "text"),
    [
        ({"precision": "fp61"}, "unknown precision 'fp61'; did you mean fp16"),
        ({"precision": "fp16"}, "fp16 needs a GPU"),
        ({"device": "warp"}, "unknown device 'warp'; there are: auto, cpu"),
    ],
)
def test_a_machine_that_is_none_leaves_no_folder(
    images: ImageData, tmp_path: Path, wish: dict[str, Any], text: str
) -> None:
    with pytest.raises(gz.UsageError, match=text):
        gz.classify_train("cnn", data=images, out=tmp_path / "runs", **QUICK | wish)
    assert not (tmp_path / "runs").exists()


def test_classes_are_known_by_their_names_in_any_order(tmp_path: Path) -> None:
    settings: dict[str, Any] = QUICK | {"epochs": 8, "batch": 25}
    model = gz.classify_train("cnn", data="digits", shots=200, out=tmp_path, **settings)
    scores = [gz.classify_evaluate(model, data=name)["accuracy"] for name in ("digits", "digits:5-9,0-4")]
    assert scores[0] == scores[1] > 0.3


def test_what_is_refused_leaves_no_folder(images: ImageData, tmp_path: Path) -> None:
    data_folder, runs = str(halves(images, tmp_path)), tmp_path / "runs"
    for strategy, config, text in (
        ("ewc", {}, "ewc is for GANs"),
        ("partial", {"last": 9}, "partial: can't train 9 blocks"),
        ("warm-discriminator", {}, "warm-discriminator is for GANs"),
    ):
        with pytest.raises(gz.UsageError, match=text):
            gz.classify_transfer(
                "cnn-mnist", data=data_folder, strategy=strategy, strategy_config=config, out=runs, **QUICK
            )
    with pytest.raises(
        gz.DataError, match=r"cnn-mnist takes 1 channel\(s\), but .* has 3; convert the data with"
    ):
        gz.classify_evaluate("cnn-mnist", data=ImageData(*ten_colours(), tuple("0123456789"), "colours"))
    with pytest.raises(gz.UsageError, match=r"num_classes is 2 in .*: leave num_classes out"):
        gz.classify_train("cnn", data=data_folder, backbone_config={"num_classes": 5}, out=runs, **QUICK)
    assert not list(runs.glob("*"))


def ten_colours() -> tuple[torch.Tensor, torch.Tensor]:
    return torch.zeros(10, 3, 28, 28, dtype=torch.uint8), torch.arange(10)


def halves(images: ImageData, folder: Path) -> Path:
    """The images as a folder with a sub-folder a class."""
    assert images.labels is not None
    for i, (image, label) in enumerate(zip(images.images, images.labels.tolist(), strict=True)):
        path = folder / "halves" / images.classes[label]
        path.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image[0].numpy()).save(path / f"{i}.png")
    return folder / "halves"


def test_what_is_no_discriminator_is_told(tmp_path: Path, gan: gz.GAN) -> None:
    build = gz.backbones.build
    with pytest.raises(gz.UsageError, match="cnn-mnist is a backbone without a discriminator"):
        build("discriminator", of="cnn-mnist")
    with pytest.raises(gz.UsageError, match="dcgan-mnist takes images of 1 channel"):
        build("discriminator", of="dcgan-mnist", channels=3)
    with pytest.raises(gz.UsageError, match="pool must be at least 1, not 0"):
        build("discriminator", pool=0)
    alone = replace(gan, discriminator=None, parts={"generator": gan.parts["generator"]})
    alone.save(tmp_path / "alone")
    with pytest.raises(gz.UsageError, match="is a gan without a discriminator"):
        build("discriminator", of=str(tmp_path / "alone"))


def test_a_strangers_discriminator_is_checked_like_any_network(gan: gz.GAN, tmp_path: Path) -> None:
    folder = gan.save(tmp_path / "gan")
    path = folder / "discriminator.safetensors"
    sound = path.read_bytes()
    path.write_bytes(sound[:-4] + bytes([sound[-4] ^ 1]) + sound[-3:])
    with pytest.raises(gz.WeightsError, match=r"does not match its SHA-256 in config.json"):
        gz.backbones.build("discriminator", of=str(folder))
    path.write_bytes(sound)
    config = read_config(folder)
    config["discriminator"]["config"]["width"] = 4096
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(gz.WeightsError, match="asks for a network much larger than"):
        gz.backbones.build("discriminator", of=str(folder))


@pytest.mark.parametrize("name", registry.discriminators.names())
def test_every_discriminator_becomes_a_backbone_or_says_why_not(name: str) -> None:
    if name in ("backbone", "projected"):
        with pytest.raises(gz.UsageError, match=f"'{name}' has a backbone of its own"):
            gz.backbones.build("discriminator", network=name)
        return
    side = 64 if name in ("fast", "stylegan2", "dcgan-examples") else 28
    config = sized("discriminators", name, width=8, channels=1, image_size=side)
    if name == "packed":
        with pytest.raises(
            gz.UsageError, match="'packed' takes packs of 2 images, so it has no features of one"
        ):
            gz.backbones.build("discriminator", network=name, network_config=config)
        return
    network = gz.backbones.build("discriminator", network=name, network_config=config, num_classes=4)
    assert network(torch.zeros(2, 1, 28, 28)).shape[1:] == (4,)


def test_samples_of_which_the_teacher_is_sure_join_the_images(tmp_path: Path) -> None:
    gan, teacher = gz.load_model("dcgan-mnist"), gz.load_model("cnn-mnist")
    digits = data.load("digits", shots=20, image_size=28)
    every = PseudoLabels(gan, samples=60, confidence=0.999).joined(teacher, digits)
    known = teacher(gan.generate(60, seed=pseudo_labels.SEED)).softmax(1)
    sure = known.amax(1) >= 0.999
    assert 0 < sure.sum() < 60 and len(every) == 20 + int(sure.sum())
    assert torch.equal(every.images[:20], digits.images) and every.labels is not None
    assert torch.equal(every.labels[20:], known.argmax(1)[sure])
    assert torch.equal(every.images[20:], to_uint8(gan.generate(60, seed=pseudo_labels.SEED)[sure]))


def test_a_helped_classifier_takes_no_more_steps_and_says_how_it_was_made(tmp_path: Path) -> None:
    settings = {
        "data": "digits",
        "image_size": 28,
        "shots": 40,
        "epochs": 12,
        "batch": 8,
        "precision": "fp32",
    }
    config = {"widths": [4, 8]}
    helped: Any = {"gan": "dcgan-mnist", "gan_samples": 80, "gan_confidence": 0.0}
    model = gz.classify_train("cnn", backbone_config=config, out=tmp_path, **helped, **settings)
    assert model.about["training"]["epochs"] == 4, "a third of the epochs of three times the images"
    assert model.lineage["data"]["images"] == 120 and model.lineage["data"]["name"] == "digits+dcgan-mnist"
    command = model.about["training"]["command"]
    assert "--epochs 12" in command and "--gan dcgan-mnist --gan-samples 80 --gan-confidence 0.0" in command
    (run,) = tmp_path.glob("0*")
    assert (run / "00000-teacher" / "model" / "model.safetensors").is_file()
    assert "80 of 80 samples are added to 40 images" in (run / "log.txt").read_text()


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"gan": "cnn-mnist"}, "cnn-mnist is a backbone, not a GAN"),
        ({"gan": "dcgan-mnist"}, r"dcgan-mnist makes images \(1, 28, 28\).*digits are \(1, 8, 8\)"),
        ({"gan": "dcgan-mnist", "gan_samples": 0}, "gan-samples must be at least 1"),
    ],
)
def test_help_that_is_none(tmp_path: Path, settings: dict[str, Any], text: str) -> None:
    with pytest.raises(gz.ZooError, match=text):
        gz.classify_train("cnn", data="digits", out=tmp_path, **settings)
    assert not list(tmp_path.iterdir())


def test_the_table_of_classifiers_is_filled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench, "DATA", "digits")
    monkeypatch.setattr(bench, "RECIPES", {100: {"epochs": 1, "batch": 50}})
    methods = (bench.METHODS[0], bench.Method("probe", "dcgan-mnist", "freeze"))
    monkeypatch.setattr(bench, "METHODS", methods)
    path = bench.classifier_table((100,), trials=2, out=tmp_path)
    assert len((tmp_path / bench.RESULTS).read_text().splitlines()) == 4
    for name in ("classify_train", "classify_transfer"):
        monkeypatch.setattr(bench, name, lambda *a, **k: pytest.fail("trained again"))
    before = path.read_text()
    assert bench.classifier_table((100,), trials=2, out=tmp_path).read_text() == before
    assert "| | 100 images (2 seeds) |" in before and "| probe | " in before and " ± " in before
    with pytest.raises(gz.UsageError, match=r"shots must be among 100 \(0: all\), not 7"):
        bench.classifier_table((7,), out=tmp_path)


def test_the_command_on_the_card_makes_the_same_classifier(images: ImageData, tmp_path: Path) -> None:
    settings: dict[str, Any] = {
        "shots": 9,
        "data_seed": 2,
        "image_size": 24,
        "title": "nine of them",
        **QUICK,
    }
    model = gz.classify_train(
        "cnn",
        data=str(halves(images, tmp_path)),
        backbone_config={"widths": [4, 8]},
        out=tmp_path / "first",
        **settings,
    )
    _, *words = shlex.split(model.about["training"]["command"])
    result = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "second")])
    assert result.exit_code == 0, result.output
    (again,) = tmp_path.glob("second/*/model")
    assert sha256(again / "model.safetensors") == sha256(model.folder / "model.safetensors")
