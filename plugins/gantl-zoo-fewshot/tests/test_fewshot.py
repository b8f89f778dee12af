"""Each method's own behaviour; the tests that walk the registry check the common contract."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, moved, new_trainer, state
from torch import nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.registry.plugins import installed
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe

NAMES = ("adam", "cdc", "lora", "mine", "svd")
EARLY: dict[str, dict[str, Any]] = {  # each method's own turn within a few steps, and no wild ones
    "adam": {"probe": 2},
    "cdc": {"every": 2},
    "mine": {"steps": 2},
    "svd": {"rate": 1.0},
}
ROLES = ("generator", "discriminator")
Trained = Callable[..., Any]  # the fixture


def kernels(network: nn.Module) -> set[str]:
    """The names of all linear and convolutional weights."""
    return {name for name, tensor in network.named_parameters() if tensor.ndim > 1}


def statistics(network: nn.Module) -> set[str]:
    return {name for name, _ in network.named_buffers()}


def test_the_names_are_there_and_say_whose_they_are() -> None:
    (mine,) = [plugin for plugin in installed() if plugin.name == "gantl-zoo-fewshot"]
    assert {entry.name for entry in mine.entries} == set(NAMES)


def test_lora_and_svd_move_weights_only(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    for name in ("lora", "svd"):
        mine = copy.deepcopy(gan)
        for changed in trained(mine, images, name, **EARLY.get(name, {}))[1]:
            assert changed["generator"] == kernels(mine.generator) | statistics(mine.generator)
            theirs = mine.discriminator
            assert changed["discriminator"] == (kernels(theirs) if name == "svd" else set(state(theirs)))


def test_lora_adds_a_matrix_of_low_rank(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    before = gan.generator.blocks[1].conv.weight.detach().clone()
    trained(gan, images, "lora", rank=2, alpha=4.0)
    added = (gan.generator.blocks[1].conv.weight.detach() - before).transpose(0, 1).flatten(1)
    assert torch.linalg.matrix_rank(added, atol=1e-5) == 2


def test_svd_keeps_the_singular_vectors(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    layers = {role: getattr(gan, role).blocks[1].conv for role in ROLES}
    parts = {}
    for role, layer in layers.items():
        matrix = layer.weight.detach().movedim(int(role == "generator"), 0).flatten(1)
        parts[role] = (*torch.linalg.svd(matrix, full_matrices=False), matrix)
    trained(gan, images, "svd", rate=1.0)
    for role, layer in layers.items():
        left, values, right, old = parts[role]
        new = layer.weight.detach().movedim(int(role == "generator"), 0).flatten(1)
        inside = left.T @ new @ right.T
        torch.testing.assert_close(left @ torch.diag(inside.diag()) @ right, new, atol=1e-6, rtol=1e-4)
        assert (inside.diag() - values).abs().min() > 1e-4 and not torch.equal(old, new)


def test_svd_decomposes_before_a_spectral_norm(images: ImageData, trained: Trained) -> None:
    config = {**SMALL, "image_size": 28, "channels": 1}
    gan = gz.build_gan("resnet", generator_config=config, discriminator_config={"width": 4})
    weight = gan.discriminator.blocks[1].conv1.parametrizations.weight.original
    before, names = weight.detach().clone(), set(gan.discriminator.state_dict())
    trainer, _ = trained(gan, images, "svd", rate=1.0)
    left, _, right = torch.linalg.svd(before.flatten(1), full_matrices=False)
    inside = left.T @ weight.detach().flatten(1) @ right.T
    torch.testing.assert_close(inside, torch.diag(inside.diag()), atol=1e-5, rtol=0)
    assert not torch.equal(weight, before) and set(trainer.snapshot().discriminator.state_dict()) == names


def test_a_miner_learns_alone_first(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    before = state(gan.generator)
    _, changed = trained(gan, images, "mine", count=4, steps=2)
    first = {n for n in before if n.startswith("blocks.0.")}
    alone = {"blocks.0.linear.weight"} | (first & statistics(gan.generator))
    assert [step["generator"] for step in changed] == [alone, alone, set(before), set(before)]
    assert all(step["discriminator"] for step in changed)


@pytest.mark.parametrize("generator", ["dcgan", "dcgan-examples", "resnet", "resize-conv"])
@pytest.mark.parametrize("steps", [2, 5])
def test_the_folded_miner_is_a_map_in_front_of_the_generator(
    generator: str, steps: int, images: ImageData, trained: Trained
) -> None:
    config = {**SMALL, "image_size": 32, "channels": 1}
    gan = gz.build_gan(generator, "dcgan", generator_config=config, discriminator_config={"width": 4})
    trainer, _ = trained(gan, images.fit(32, 1), "mine", steps=steps)
    miner: Any = trainer.game.strategy.held["generator"][0].adapter
    behind = copy.deepcopy(gan.generator).eval()
    layer: Any = next(m for m in behind.blocks[0].modules() if isinstance(m, nn.Linear | nn.ConvTranspose2d))
    with torch.no_grad():
        for own, theirs in zip(miner.layer(), (layer.weight, layer.bias), strict=False):
            theirs.copy_(own)
        noise = torch.randn(16, 8)
        assert (miner.mine(noise) - noise).abs().max() > 1e-3
        torch.testing.assert_close(
            gan.generator.eval()(noise), behind(miner.mine(noise)), atol=1e-5, rtol=1e-5
        )


def test_adam_probes_starts_again_and_holds_what_matters(
    gan: gz.GAN, images: ImageData, trained: Trained
) -> None:
    start = copy.deepcopy(gan)
    strategy: Any = build_strategy("adam", {"probe": 2, "quantile": 0.5})
    recipe = Recipe(steps=6, batch=4, precision="fp32", lr=1e-2)
    trainer = new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))
    for step in range(2):
        trainer.step(step, torch.arange(4))
    norms = {n for n in dict(gan.generator.named_parameters()) if n not in kernels(gan.generator)}
    assert moved(state(start.generator), gan.generator).isdisjoint(norms)
    strategy.on_step(2, trainer.plan)
    for role in ROLES:
        ours, theirs = (dict(getattr(g, role).named_parameters()) for g in (gan, start))
        assert all(torch.equal(ours[name], theirs[name]) for name in ours), "it starts again"
    for step in range(2, 6):
        trainer.step(step, torch.arange(4))
    for role in ROLES:
        for adapter in strategy.kernels(role):
            filters = len(adapter.important)
            assert adapter.important.sum() == filters - filters // 2, "half of each layer, not of all layers"
        for held in strategy.held[role]:
            adapter, now = held.adapter, held.adapter.matrix(held.places[0])
            factor = 1 + torch.outer(adapter.left, adapter.right)
            held_rows, free_rows = adapter.important, ~adapter.important
            torch.testing.assert_close(now[held_rows], (adapter.base * factor)[held_rows].detach())
            assert (now != adapter.base).any(1).all(), "modulated or fine-tuned, each filter moved"
            assert not adapter.left[free_rows].any()


def test_the_fisher_information_of_a_filter_in_closed_form() -> None:
    from gantl_zoo_fewshot.adam import Modulated

    adapter = Modulated(torch.tensor([[1.0, 2.0], [3.0, 4.0]]), 0)
    adapter.note(torch.tensor([[1.0, 1.0], [0.5, 0.0]]))
    adapter.note(torch.tensor([[2.0, 0.0], [0.0, 0.0]]))
    assert adapter.importance.tolist() == [1 + 4 + 4, 2.25]


def test_cdc_compares_anchors_and_patches(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    trainer, changed = trained(gan, images, "cdc", count=3, every=2, anchors=3, sigma=0.0)
    head = {n for n in state(gan.discriminator) if n.startswith("blocks.2.")}
    assert [bool(step["discriminator"] & head) for step in changed] == [True, False, True]
    strategy: Any = trainer.game.strategy
    noise = torch.randn(20, 8)
    assert len(strategy.latents(noise, 2).unique(dim=0)) <= 3 and strategy.latents(noise, 1) is noise
    shown = torch.zeros(2, 1, 28, 28)
    assert strategy.discriminate(gan.discriminator, shown, 2).shape == (2,)
    assert strategy.discriminate(gan.discriminator, shown, 1).shape == (2, 1, 7, 7)


def test_cdc_shows_no_labels_to_networks_that_take_none(
    gan: gz.GAN, images: ImageData, trained: Trained, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = type(gan.generator).forward
    monkeypatch.setattr(type(gan.generator), "forward", lambda self, noise: whole(self, noise))
    seen = type(gan.discriminator).forward
    monkeypatch.setattr(type(gan.discriminator), "forward", lambda self, images: seen(self, images))
    _, changed = trained(gan, images, "cdc", every=2)
    assert any(step["generator"] for step in changed)


def test_the_correspondence_is_zero_at_the_start_and_in_closed_form(
    gan: gz.GAN, images: ImageData, trained: Trained
) -> None:
    from gantl_zoo_fewshot.cdc import divergence, similarities

    strategy = build_strategy("cdc", {"anchors": 0})
    plan = strategy.prepare(copy.deepcopy(gan), gan, images)
    plan.apply({role: getattr(gan, role) for role in ROLES})
    before = state(gan.generator)
    noise = torch.randn(4, 8)
    batch = gz.Batch(0, images.images, noise, noise, gan.generator, gan.discriminator)
    assert float(strategy.generator_loss(torch.tensor(1.0), batch)["cdc"].detach()) == pytest.approx(
        0, abs=1e-4
    )
    assert not moved(before, gan.generator) and gan.generator.blocks[0].training
    rows = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 2.0]])
    likely = torch.tensor([1.0, 0.0]).softmax(0)
    expected = torch.stack([likely, likely, torch.tensor([0.5, 0.5])])
    torch.testing.assert_close(similarities(rows).exp(), expected)
    other = torch.full_like(expected, 0.5).log()
    torch.testing.assert_close(
        divergence(other, expected.log()), (expected * (expected.log() - other)).mean()
    )


def test_likeness_is_compared_in_float32_inside_autocast() -> None:
    from gantl_zoo_fewshot.cdc import similarities

    rows = torch.randn(8, 50)
    expected = similarities(rows)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(similarities(rows), expected)


@pytest.mark.filterwarnings("ignore")  # the compiler's own
def test_maps_are_seen_in_compiled_networks(gan: gz.GAN, images: ImageData) -> None:
    from gantl_zoo_fewshot.cdc import hidden, patches

    noise, shown = torch.randn(4, 8), images.images[:4].float()
    plain = [*hidden(gan.generator, noise), patches(gan.discriminator.eval(), shown)]
    for network in (gan.generator, gan.discriminator):
        network.compile(backend="eager")
    gan.generator(noise), gan.discriminator(shown)
    seen = [*hidden(gan.generator, noise), patches(gan.discriminator, shown)]
    for ours, theirs in zip(seen, plain, strict=True):
        torch.testing.assert_close(ours, theirs)


def test_cdc_keeps_the_likeness(gan: gz.GAN, images: ImageData, trained: Trained) -> None:
    def gap(weight: float) -> float:
        mine = copy.deepcopy(gan)
        trainer, _ = trained(mine, images, "cdc", count=30, anchors=0, weight=weight)
        batch = gz.Batch(
            0, images.images, torch.zeros(4, 8), torch.zeros(1), mine.generator, mine.discriminator
        )
        torch.manual_seed(5)
        loss = trainer.game.strategy.generator_loss(torch.tensor(0.0), batch)["cdc"]
        return float(loss.detach()) / weight

    assert gap(1e3) < 0.8 * gap(1e-6)


def test_what_is_exported_is_plain_and_needs_no_plug_in(
    gan: gz.GAN, images: ImageData, tmp_path: Path, trained: Trained
) -> None:
    names = {role: list(getattr(gan, role).state_dict()) for role in ROLES}
    for name in NAMES:
        trainer, _ = trained(copy.deepcopy(gan), images, name, **EARLY.get(name, {}))
        snapshot = trainer.snapshot()
        assert {role: list(getattr(snapshot, role).state_dict()) for role in ROLES} == names
        assert list(trainer.average.state_dict()) == names["generator"]
        assert snapshot.save(tmp_path / name) == tmp_path / name
        torch.save(snapshot.generate(4), tmp_path / f"{name}.pt")
    check = (
        "import sys, torch, gantl_zoo as gz\n"
        f"for name in {NAMES}:\n"
        f"    gan = gz.load_model({str(tmp_path)!r} + '/' + name)\n"
        f"    assert torch.equal(gan.generate(4), torch.load({str(tmp_path)!r} + f'/{{name}}.pt'))\n"
        "    assert gan.config()['requires'] == {} and name not in gz.strategies.names()\n"
        "assert 'gantl_zoo_fewshot' not in sys.modules"
    )
    alone = {**os.environ, "GANTL_ZOO_DISABLE_PLUGINS": "all"}
    subprocess.run([sys.executable, "-c", check], check=True, env=alone)
