"""Every registered strategy: only what its plan lists moves, on every pair of networks."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import EARLY, SMALL, moved, new_trainer, sized, state, train_classifier
from torch import nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.networks.base import blocks
from gantl_zoo.runs.execute import plan_line
from gantl_zoo.runs.transfer import prepare_transfer
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.training import checkpoint, engine
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.training.trainer import Trainer

# `projected` has one block, the heads, so most strategies refuse it (test_projected.py)
DISCRIMINATORS = [name for name in registry.discriminators.names() if name != "projected"]
WITHOUT_NORMS = ("r3",)
PACKED = [("dcgan", name) for name in DISCRIMINATORS if name in ("packed", "san")]  # with dcgan inside
TOGETHER = [("grown", "grown"), *PACKED]  # networks that only one other fits


def covering(strategy: int) -> list[tuple[str, str]]:
    """Pairs of networks for the strategy of this number.

    Each strategy trains each generator and each discriminator; all strategies together train every pair.
    """
    alone = {name for pair in TOGETHER for name in pair} - {"dcgan"}
    generators, discriminators = (
        [n for n in names if n not in alone] for names in (registry.generators.names(), DISCRIMINATORS)
    )
    count = max(len(generators), len(discriminators))
    return [
        (generators[i % len(generators)], discriminators[(i + strategy) % len(discriminators)])
        for i in range(count)
    ] + TOGETHER


CASES = [(name, *pair) for i, name in enumerate(registry.strategies.names()) for pair in covering(i)]


def pair(generator: str, discriminator: str, size: int) -> gz.GAN:
    judged = sized("discriminators", discriminator)
    if discriminator == "dcgan":
        judged["norm"] = "batch"  # running statistics in both players
    if discriminator == "backbone":
        judged["freeze"] = False
    made = sized("generators", generator, **SMALL, image_size=size, channels=1)
    gan = gz.build_gan(generator, discriminator, generator_config=made, discriminator_config=judged)
    for network in (gan.generator, gan.discriminator):
        for weights in network.parameters():
            if weights.ndim > 1 and not weights.any():  # they would stop the gradients of earlier layers
                nn.init.normal_(weights, 0, 0.1)
    return gan


def steps(
    gan: gz.GAN, strategy: TransferStrategy, images: ImageData, count: int = 2, **settings: Any
) -> Trainer:
    recipe = Recipe(steps=count, batch=4, precision="fp32", r1=0.1, **settings)
    trainer = new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))
    for step in range(count):
        losses = trainer.step(step, torch.arange(4))
        assert all(loss.isfinite() for loss in losses.values())
    return trainer


def frozen_tensors(network: nn.Module, learning: set[int]) -> set[str]:
    """Names of all tensors, running statistics included, of blocks in which nothing learns."""
    names = {id(tensor): name for name, tensor in network.state_dict(keep_vars=True).items()}
    frozen = set(names.values())
    for block in blocks(network):
        if any(id(p) in learning for p in block.parameters()):
            frozen -= {names[id(t)] for t in block.state_dict(keep_vars=True).values()}
    return frozen


@pytest.mark.parametrize(("name", "generator", "discriminator"), CASES)
def test_only_what_the_plan_lists_moves(
    name: str, generator: str, discriminator: str, images: ImageData
) -> None:
    gan = pair(generator, discriminator, 32)
    before = {role: state(getattr(gan, role)) for role in ("generator", "discriminator")}
    strategy = registry.strategies.build(name, **EARLY.get(name, {}))
    recipe = Recipe(steps=3, batch=4, precision="fp32", r1=0.1)
    if name == "scale-shift" and generator in WITHOUT_NORMS:
        with pytest.raises(gz.UsageError, match=r"scale-shift: the generator .* has no norms with a scale"):
            strategy.group(gan.generator, "generator")
        return
    trainer = new_trainer(gan, strategy, images.fit(32, 1), recipe, engine.choose("cpu", "fp32"))
    start = state(trainer.average)
    listed: dict[str, set[int]] = {role: set() for role in before}
    for step in range(3):
        trainer.step(step, torch.arange(4))
        for role, found in listed.items():
            found |= {id(p) for p in trainer.plan.parameters(role)}
            network = getattr(gan, role)
            names = {id(p): n for n, p in network.named_parameters()}
            learning = found & set(names)  # not a part's own modules
            changed = moved(before[role], network)
            assert not changed & frozen_tensors(network, learning)
            assert not changed & {n for i, n in names.items() if i not in learning}
            if role == "generator":
                frozen = set(before[role]) - changed
                assert not moved(start, trainer.average) & frozen, "frozen weights are averaged to themselves"
            if step == 2 and (role == "generator" or trainer.plan.discriminator is None):
                assert {names[i] for i in learning} <= changed, "listed, but did not move"


def test_all_strategies_together_train_every_pair_of_networks() -> None:
    alone = {name for pair in TOGETHER for name in pair} - {"dcgan"}
    generators, discriminators = (
        set(names) - alone for names in (registry.generators.names(), DISCRIMINATORS)
    )
    assert {case[1:] for case in CASES} == {(g, d) for g in generators for d in discriminators} | set(
        TOGETHER
    )


def test_full_moves_running_statistics_too(gan: gz.GAN, images: ImageData) -> None:
    before = state(gan.generator)
    steps(gan, registry.strategies.build("full"), images)
    assert moved(before, gan.generator) == set(before)


def test_freeze_leaves_the_last_block(gan: gz.GAN, images: ImageData) -> None:
    before = state(gan.discriminator)
    steps(gan, registry.strategies.build("freeze"), images)
    assert {name.split(".")[1] for name in moved(before, gan.discriminator)} == {"2"}


@pytest.mark.parametrize(
    ("settings", "generator", "discriminator"),
    [
        ({"last": 1}, {"3"}, {"2"}),
        ({"last": 2, "network": "generator"}, {"2", "3"}, {"0", "1", "2"}),
        ({"last": 2, "network": "discriminator"}, {"0", "1", "2", "3"}, {"1", "2"}),
    ],
)
def test_partial_counts_from_the_output(
    gan: gz.GAN, images: ImageData, settings: dict[str, Any], generator: set[str], discriminator: set[str]
) -> None:
    before = {role: state(getattr(gan, role)) for role in ("generator", "discriminator")}
    steps(gan, registry.strategies.build("partial", **settings), images)
    for role, expected in (("generator", generator), ("discriminator", discriminator)):
        assert {name.split(".")[1] for name in moved(before[role], getattr(gan, role))} == expected


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("partial", {"last": 9}, "9 blocks of DCGANGenerator, which has 4"),
        (
            "partial",
            {"network": "critic"},
            "partial: unknown network 'critic'; there are: both, generator, discriminator",
        ),
        ("freeze", {"blocks": 2}, "takes no argument 'blocks'; it takes: network"),
    ],
)
def test_wrong_settings_are_explained(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises(gz.UsageError, match=said):
        steps(gan, registry.strategies.build(name, **settings), images)


@pytest.mark.parametrize("name", registry.strategies.names())
def test_a_source_without_a_discriminator_gets_one(
    name: str, gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    gan.discriminator = None
    del gan.parts["discriminator"]
    source = gan.save(tmp_path / "small")
    settings: dict[str, Any] = {"data": images, "strategy": name, "steps": 1, "batch": 4, "metrics": ()}
    settings |= {"precision": "fp32", "out": tmp_path / "runs"}
    for shape in ({}, {"image_size": 32}):  # fitted or not
        if name == "ewc":
            with pytest.raises(gz.UsageError, match="has no trained discriminator"):
                gz.transfer(source, **settings | shape)
        else:
            made = gz.transfer(source, **settings | shape)
            assert made.parts["discriminator"]["name"] == ("projected" if name == "projected" else "dcgan")


def test_a_run_needs_a_discriminator_to_keep(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="the source has no discriminator; a run needs one"):
        steps(gan, registry.strategies.build("scale-shift", latents=True), images)
    del gan.parts["discriminator"]
    alone = str(gan.save(tmp_path / "alone"))
    run = prepare_transfer(alone, images, "scale-shift", {"strategy_config": {"latents": True}})
    assert (
        run.setup.gan.parts["discriminator"]["name"] == "dcgan" and "because the source has none" in run.why
    )


class Row(nn.Module):
    """A generator or a discriminator of any number of blocks."""

    num_classes, latent_dim, image_shape = 0, 8, (1, 28, 28)

    def __init__(self, role: str, count: int) -> None:
        super().__init__()
        between = [
            nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU()) for _ in range(count)
        ]
        if role == "generator":
            first = nn.Sequential(nn.Linear(8, 4 * 49), nn.Unflatten(1, (4, 7, 7)))
            last = nn.Sequential(nn.Upsample(scale_factor=4), nn.Conv2d(4, 1, 3, padding=1), nn.Tanh())
        else:
            first = nn.Sequential(nn.Conv2d(1, 4, 4, 4), nn.ReLU())
            last = nn.Sequential(nn.Flatten(), nn.Linear(4 * 49, 1), nn.Flatten(0))
        parts = [first, *between[2:], last] if count > 1 else [nn.Sequential(first, between[0], last)]
        self.blocks = nn.ModuleList(parts)

    def forward(self, inputs: torch.Tensor, labels: torch.Tensor | None = None) -> torch.Tensor:
        for block in self.blocks:
            inputs = block(inputs)
        return inputs


@pytest.mark.parametrize("count", [1, 2, 9])
@pytest.mark.parametrize("name", registry.strategies.names())
def test_another_count_of_blocks_learns_or_is_explained(
    name: str, count: int, gan: gz.GAN, images: ImageData
) -> None:
    gan.generator, gan.discriminator = Row("generator", count), Row("discriminator", count)
    strategy = registry.strategies.build(name)
    refused = {1: {"cdc", "freeze-d", "freeze-g", "partial"}, 2: {"scale-shift"}}.get(count, set())
    if name not in refused:
        steps(gan, strategy, images, count=1)
        return
    with pytest.raises(gz.UsageError, match=rf"{name}.*(block|no norms)"):
        steps(gan, strategy, images, count=1)


def test_every_hook_is_called_and_can_steer(gan: gz.GAN, images: ImageData) -> None:
    """A strategy with all of the contract: what it returns is what training uses."""
    calls: list[str] = []

    class Everything(TransferStrategy):
        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
            assert source.generator is not target.generator
            plan = super().prepare(source, target, data)
            plan.groups["generator"][0].lr_multiplier = 0.0
            return plan

        def on_step(self, step: int, plan: gz.Plan) -> None:
            calls.append(f"step {step}")

        def latents(self, noise: torch.Tensor, step: int) -> torch.Tensor:
            return noise * 0

        def discriminate(self, discriminator: nn.Module, images: torch.Tensor, step: int) -> torch.Tensor:
            return super().discriminate(discriminator, images, step)[:, None].expand(-1, 3)

        def generator_loss(self, adversarial: torch.Tensor, batch: gz.Batch) -> dict[str, torch.Tensor]:
            assert (batch.noise == 0).all() and torch.equal(batch.fake[0], batch.fake[1])
            return {"generator": adversarial, "extra": batch.fake.square().mean()}

        def discriminator_loss(self, adversarial: torch.Tensor, batch: gz.Batch) -> dict[str, torch.Tensor]:
            assert batch.real.shape == batch.fake.shape and adversarial.ndim == 0
            return {"discriminator": adversarial, "more": adversarial * 0}

        def on_gradients(self, phase: str) -> None:
            calls.append(f"gradients {phase}")

        def after_step(self, phase: str) -> None:
            calls.append(f"after {phase}")

        def export(self, gan: gz.GAN) -> gz.GAN:
            return replace(gan, name="folded")

    before = {name: p.clone() for name, p in gan.generator.named_parameters()}
    trainer = steps(gan, Everything(), images, count=1)
    losses = trainer.step(1, torch.arange(4))
    assert set(losses) == {"discriminator", "more", "generator", "extra"}
    assert trainer.snapshot().name == "folded"
    one = ["gradients discriminator", "after discriminator", "gradients generator", "after generator"]
    assert calls == ["step 0", *one, "step 1", *one]
    assert all(torch.equal(before[name], p) for name, p in gan.generator.named_parameters())


def test_what_a_strategy_keeps_is_in_the_checkpoint(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    class Counting(TransferStrategy):
        count = 0

        def on_step(self, step: int, plan: gz.Plan) -> None:
            self.count += 1

        def state_dict(self) -> dict[str, torch.Tensor]:
            return {"count": torch.tensor(self.count)}

        def load_state_dict(self, state: Mapping[str, torch.Tensor]) -> None:
            self.count = int(state["count"])

    first, second = Counting(), Counting()
    trainer = steps(copy.deepcopy(gan), first, images, count=3)
    tensors = checkpoint.gather(trainer.contents)
    other = steps(gan, second, images, count=1)
    checkpoint.scatter(tensors, other.contents, tmp_path)
    assert second.count == first.count == 3


def test_a_strategy_can_move_a_weight_itself(gan: gz.GAN, images: ImageData) -> None:
    """A weight at a rate of 0 gets its gradient and is moved by the strategy alone."""

    class Gain(TransferStrategy):
        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
            plan = super().prepare(source, target, data)
            self.weight = target.generator.blocks[-1].conv.weight
            self.base, self.gain = self.weight.detach().clone(), nn.Parameter(torch.ones(1))
            plan.groups["generator"] = [gz.Group([self.gain]), gz.Group([self.weight], 0.0)]
            plan.modules["gain"] = nn.ParameterList([self.gain])
            return plan

        def on_gradients(self, phase: str) -> None:
            if phase == "generator":
                self.gain.grad = (self.weight.grad * self.base).sum()[None]

        def after_step(self, phase: str) -> None:
            if phase == "generator":
                self.weight.data.copy_(self.gain.detach() * self.base)

    before = state(gan.generator)
    strategy = Gain()
    trainer = steps(gan, strategy, images)
    said = plan_line(trainer.setup)
    assert re.search(r"generator 0 of [\d,]+ parameters and 1 of the strategy are trained", said)
    assert {n for n in moved(before, gan.generator) if ".norm." not in n} == {"blocks.3.conv.weight"}
    torch.testing.assert_close(strategy.weight.detach(), strategy.base * strategy.gain.detach())
    assert strategy.gain.detach() != 1


def test_a_strategy_can_bring_its_own_discriminator(gan: gz.GAN, images: ImageData) -> None:
    class OwnJudge(TransferStrategy):
        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
            plan = super().prepare(source, target, data)
            discriminator = registry.discriminators.build("backbone", backbone="cnn", widths=[4, 8], width=4)
            plan.discriminator = discriminator
            plan.groups["discriminator"] = self.group(discriminator, "discriminator")
            return plan

    before = state(gan.discriminator)
    trainer = steps(gan, OwnJudge(), images)
    assert not moved(before, gan.discriminator)
    assert trainer.game.discriminator.network is trainer.plan.discriminator


@pytest.mark.parametrize("name", ["full", "freeze", "partial"])
def test_the_same_names_fine_tune_a_classifier(name: str, images: ImageData) -> None:
    from gantl_zoo.training.classifier import ClassifierRecipe

    backbone = registry.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
    before = state(backbone)
    recipe = ClassifierRecipe(epochs=1, batch=10)
    train_classifier(backbone, registry.strategies.build(name), images, recipe)
    expected = {"full": {"0", "1", "2", "3"}, "freeze": {"3"}, "partial": {"2", "3"}}[name]
    assert {tensor.split(".")[1] for tensor in moved(before, backbone)} == expected


def test_the_average_begins_where_the_strategy_lets_the_run_begin(images: ImageData) -> None:
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4})
    before = state(gan.generator)
    recipe = Recipe(steps=1, batch=4, precision="fp32")
    strategy = build_strategy("mirror", {})
    trainer = new_trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))
    assert moved(before, trainer.average) and not moved(state(trainer.average), gan.generator)
