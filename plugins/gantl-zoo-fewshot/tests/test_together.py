"""The five methods: resumed, combined, on classifiers, with invalid settings."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, moved, state
from safetensors.torch import load_file

import gantl_zoo as gz
from gantl_zoo.data import ImageData, to_uint8
from gantl_zoo.registry import plugins
from gantl_zoo.runs.recorder import RunRecorder
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.classifier import ClassifierTrainer
from gantl_zoo.training.classifier_recipe import ClassifierRecipe
from gantl_zoo.training.observer import Observer

Trained = Callable[..., Any]  # the fixture


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("adam", {"probe": 2}),
        ("adam", {"probe": 4}),
        ("cdc", {"every": 2}),
        ("lora", {}),
        ("mine", {"steps": 2}),
        ("mine", {"steps": 4}),
        ("svd+l2-sp", {}),
        ("mine+cdc+freeze-d", {"steps": 1}),
    ],
)
def test_a_resumed_run_is_the_unbroken_one(
    gan: gz.GAN,
    photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    name: str,
    settings: dict[str, Any],
) -> None:
    """Interrupted after step 5 of 6, resumed from step 3: before and after each method's change of phase."""

    def on_step(self: RunRecorder, done: int) -> None:
        if done == 5:
            raise OSError("the machine is gone")

    source = gan.save(tmp_path / "source")
    shared: dict[str, Any] = {k: v for k, v in TINY.items() if not k.endswith("config")}
    shared |= {"data": photos, "strategy": name, "strategy_config": settings, "r1": 0.1}
    whole = gz.transfer(source, out=tmp_path / "whole", **shared)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="is gone"):
        patch.setattr(RunRecorder, "on_step", on_step)
        gz.transfer(source, out=tmp_path / "broken", **shared)
    (run,) = (tmp_path / "broken").iterdir()
    assert [path.name for path in checkpoint.saved(run)] == ["00000000", "00000003"]
    resumed = gz.transfer("", data="", resume=run)
    assert whole.folder is not None and torch.equal(whole.generate(4), resumed.generate(4))
    one, other = (
        load_file(path / "checkpoints" / "00000006" / "state.safetensors")
        for path in (whole.folder.parent, run)
    )
    assert one.keys() == other.keys() and not [key for key in one if not torch.equal(one[key], other[key])]
    assert any(key.startswith("module.") for key in one)


@pytest.mark.parametrize("order", ["{0}+{1}", "{1}+{0}"])
def test_frozen_blocks_stay_frozen_in_either_order(
    gan: gz.GAN, images: ImageData, trained: Trained, order: str
) -> None:
    for name in ("adam", "lora", "svd"):
        early: dict[str, dict[str, Any]] = {"adam": {"probe": 2}, "svd": {"rate": 1.0}}
        settings = early.get(name, {})
        _, changed = trained(copy.deepcopy(gan), images, order.format(name, "freeze-g"), **settings)
        assert {tensor.split(".")[1] for step in changed for tensor in step["generator"]} == {"2", "3"}
    _, changed = trained(copy.deepcopy(gan), images, order.format("svd", "freeze-d"), rate=1.0)
    assert {tensor.split(".")[1] for step in changed for tensor in step["discriminator"]} == {"1", "2"}


def test_a_penalty_on_weights_pulls_the_singular_values_back(
    gan: gz.GAN, images: ImageData, trained: Trained
) -> None:
    def distance(weight: float) -> float:
        mine = copy.deepcopy(gan)
        trained(mine, images, "svd+l2-sp", count=6, rate=1.0, weight=weight)
        pairs = zip(mine.generator.parameters(), gan.generator.parameters(), strict=True)
        return sum(float((p.detach() - q.detach()).square().sum()) for p, q in pairs)

    assert distance(1e3) < 0.7 * distance(1e-9)


def test_a_brought_discriminator_is_taken(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    before = state(gan.discriminator)
    for name in ("projected+lora", "projected+svd", "projected+adam", "projected+mine"):
        mine = copy.deepcopy(gan)
        trainer, changed = trained(mine, images, name, count=2)
        assert not moved(before, mine.discriminator) and changed[-1]["generator"]
        assert all(key.startswith("heads.") for key in changed[-1]["discriminator"])
        assert trainer.snapshot().parts["discriminator"]["name"] == "projected"


@pytest.mark.parametrize(
    ("name", "settings", "message"),
    [
        ("lora+svd", {}, "lora and svd can't be combined: both update the generator's weights"),
        ("svd+lora", {}, "svd and lora can't be combined"),
        ("mine+lora", {}, "mine and lora can't be combined"),
        ("lora+mine", {}, "lora and mine can't be combined"),
        ("adam+lora", {}, "adam and lora can't be combined: both update the generator's weights"),
        ("svd+adam", {}, "svd and adam can't be combined"),
        ("adam+mine", {}, "adam and mine can't be combined"),
        ("lora+mirror", {}, "put mirror before it"),
        ("lora+scale-shift", {}, "lora: the other parts freeze all of the generator's weights"),
        ("mine+freeze-g", {}, "mine: the other parts freeze all"),
        ("projected+cdc", {}, "cdc: block 0 of ProjectedDiscriminator has no feature maps"),
        ("lora", {"rank": 0}, "lora: rank=0 must be at least 1"),
        ("lora", {"alpha": 0}, "lora: alpha=0 must be positive"),
        ("svd", {"network": "critic"}, "svd: network='critic' must be one of both, generator, discriminator"),
        ("svd", {"rate": 0}, "svd: rate=0 must be positive"),
        ("mine", {"steps": -1}, "mine: steps=-1 must not be negative"),
        ("mine", {"rate": 0}, "mine: rate=0 must be positive"),
        ("adam", {"probe": 0}, "adam: probe=0 must be at least 1"),
        ("adam", {"quantile": 1.0}, "adam: quantile=1.0 must be between 0 and 1"),
        ("adam", {"network": "none"}, "adam: network='none' must be one of"),
        ("cdc", {"weight": 0}, "cdc: weight=0 must be positive"),
        ("cdc", {"compared": 2}, "cdc: compared=2 must be at least 3 latents"),
        ("cdc", {"anchors": -1}, "cdc: anchors=-1 must not be negative"),
        ("cdc", {"every": 0}, "cdc: every=0 must be at least 1"),
        ("cdc", {"sigma": -0.1}, "cdc: sigma=-0.1 must not be negative"),
        ("cdc", {"blocks": 2}, "takes no argument 'blocks'"),
    ],
)
def test_what_cant_be_is_explained(
    gan: gz.GAN, images: ImageData, trained: Trained, name: str, settings: dict[str, Any], message: str
) -> None:
    with pytest.raises(gz.UsageError, match=message):
        trained(gan, images, name, **settings)


@pytest.mark.parametrize("name", ["adam", "cdc", "lora", "mine", "svd"])
def test_class_conditional_models_are_adapted(images: ImageData, trained: Trained, name: str) -> None:
    config = {"width": 4, "latent_dim": 8, "num_classes": 2}
    gan = gz.build_gan("dcgan", generator_config=config, discriminator_config={"width": 4}, name="small")
    trainer, changed = trained(gan, images, name, **{"adam": {"probe": 2}, "cdc": {"every": 2}}.get(name, {}))
    assert any(step["generator"] for step in changed)
    assert trainer.snapshot().generate(2, labels=[0, 1]).isfinite().all()


@pytest.mark.parametrize("name", ["adam", "cdc", "lora", "mine", "svd"])
def test_a_source_without_a_discriminator_is_explained(
    gan: gz.GAN, images: ImageData, trained: Trained, name: str
) -> None:
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="small has no discriminator"):
        trained(gan, images, name)


def test_what_is_refused_at_its_first_step_leaves_no_folder(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    settings: Any = {
        "data": images,
        "steps": 1,
        "batch": 4,
        "metrics": (),
        "precision": "fp32",
        "out": tmp_path,
    }
    with pytest.raises(gz.UsageError, match="put mirror before it"):
        gz.transfer(gan, strategy="lora+mirror", **settings)
    assert not list(tmp_path.iterdir())


def test_mirrored_kernels_are_what_is_adapted(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    before = gan.generator.blocks[1].conv.weight.detach().clone()
    trained(gan, images, "mirror+lora", count=1, lr=1e-6)
    now = gan.generator.blocks[1].conv.weight.detach()
    assert (now - before).abs().max() > 1e-3


def test_nothing_to_adapt_and_nothing_to_mine_is_explained(gan: gz.GAN, images: ImageData) -> None:
    gan.generator.blocks = torch.nn.ModuleList([torch.nn.BatchNorm1d(8), torch.nn.Tanh()])
    with pytest.raises(
        gz.UsageError, match="lora: the generator DCGANGenerator has no trainable linear or conv"
    ):
        build_strategy("lora", {}).prepare(gan, gan, images)
    with pytest.raises(gz.UsageError, match="mine: the first block of DCGANGenerator has no plain linear"):
        build_strategy("mine", {}).prepare(gan, gan, images)


@pytest.mark.parametrize("name", ["lora", "svd", "svd+l2-sp", "lora+gradual"])
def test_classifiers_are_fine_tuned(images: ImageData, name: str) -> None:
    backbone = gz.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
    before = state(backbone)
    settings = {"gradual.every": 1} if "gradual" in name else {}
    recipe = ClassifierRecipe(epochs=1, batch=8)  # five steps
    model, machine = gz.Classifier(backbone, {}), engine.choose("cpu", "fp32")
    trainer = ClassifierTrainer(model, build_strategy(name, settings), images, recipe, machine)
    trainer.run(Observer())
    backbone = trainer.backbone
    changed = moved(before, backbone)
    weights = {n for n, p in backbone.named_parameters() if p.ndim == 4}
    head = {n for n in before if n.startswith("blocks.3.")}
    norms = {n for n in before if n not in weights | head and "running" not in n and "tracked" not in n}
    assert weights | head <= changed and not changed & norms
    assert list(backbone.state_dict()) == list(before)


@pytest.mark.parametrize("name", ["adam", "cdc", "mine"])
def test_what_is_for_gans_only_says_so(name: str) -> None:
    backbone = gz.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
    with pytest.raises(gz.UsageError, match=f"{name} is for GANs"):
        build_strategy(name, {}).prepare_backbone(backbone)


@pytest.mark.parametrize("name", ["adam", "lora", "mine", "svd"])
def test_blocks_that_are_frozen_at_first_are_adapted_later(
    gan: gz.GAN, images: ImageData, trained: Trained, name: str
) -> None:
    """`gradual` unfreezes one generator block per step, the last first; then adapters are trained."""
    settings = {"gradual.every": 1} | ({"adam.probe": 1} if name == "adam" else {})
    settings |= {"mine.steps": 1} if name == "mine" else {}
    _, changed = trained(gan, images, f"{name}+gradual", count=6, **settings)
    assert any(key.startswith("blocks.0.") for key in changed[-1]["generator"])


def test_auto_takes_mine_where_the_target_is_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gan: Any = gz.load_model("dcgan-mnist")
    own = ImageData(to_uint8(gan.generate(20, seed=0)), name="own")
    settings: dict[str, Any] = {"steps": 1, "batch": 4, "metrics": (), "precision": "fp32", "out": tmp_path}
    assert gz.transfer(gan, data=own, strategy="auto", **settings).lineage["strategy"] == "mine"
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", "all")
    plugins.rescan()
    try:
        assert gz.transfer(gan, data=own, strategy="auto", **settings).lineage["strategy"] == "freeze-d"
    finally:
        monkeypatch.undo()
        plugins.rescan()
    log = max(tmp_path.iterdir()) / "log.txt"
    assert "not possible: mine (not installed" in log.read_text(encoding="utf-8")
