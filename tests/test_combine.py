"""Several strategies at once, and what doesn't go together."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, block_numbers, moved, new_trainer, state, trained
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.base import TransferStrategy
from gantl_zoo.strategy.combine import Combined, build_strategy
from gantl_zoo.training import engine
from gantl_zoo.training.recipe import Recipe


def test_parts_of_a_combination_all_hold(gan: gz.GAN, images: ImageData) -> None:
    settings = {"freeze-d.first": 2, "weight": 0.5}
    trainer, changed, losses = trained(gan, images, "freeze-d+freeze-g+l2-sp", **settings)
    assert block_numbers(changed["generator"]) == {"2", "3"}
    assert block_numbers(changed["discriminator"]) == {"2"}
    assert set(losses[0]) == {"generator", "discriminator", "l2-sp generator", "l2-sp discriminator"}
    strategy = trainer.game.strategy
    assert isinstance(strategy, Combined) and strategy.parts["l2-sp"].weight == 0.5  # type: ignore[attr-defined]
    assert set(trainer.plan.modules) == {"l2-sp-l2-sp-generator", "l2-sp-l2-sp-discriminator"}


def test_a_schedule_goes_on_inside_a_combination(gan: gz.GAN, images: ImageData) -> None:
    trainer, changed, _ = trained(gan, images, "gradual+freeze-g", count=3, every=1, first=2)
    assert block_numbers(changed["generator"]) == {"2", "3"}, "block 1 woke, but freeze-g holds it"
    assert block_numbers(changed["discriminator"]) == {"0", "1", "2"}
    assert trainer.plan.switches() == (True,) * len(trainer.plan.switches())


def test_the_second_discriminator_learns_beside_a_part_that_doesnt_know_it(
    gan: gz.GAN, images: ImageData
) -> None:
    settings = {"warmup": 1, "vision-aided.width": 8}
    recipe = Recipe(steps=3, batch=4, precision="fp32", lr=1e-2)
    for name in ("freeze-d+vision-aided", "vision-aided+freeze-d"):
        mine = copy.deepcopy(gan)
        trainer = new_trainer(
            mine, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32")
        )
        second = trainer.plan.modules["vision-aided-vision"]
        before, own = state(second), state(mine.discriminator)
        trainer.step(0, torch.arange(4))
        assert not moved(before, second), "it still waits"
        trainer.step(1, torch.arange(4))
        assert moved(before, second) == {n for n in before if n.startswith("heads.")}
        assert block_numbers(moved(own, mine.discriminator)) == {"1", "2"}


def test_other_parts_prepare_for_the_discriminator_that_was_brought(gan: gz.GAN, images: ImageData) -> None:
    trainer, changed, losses = trained(gan, images, "projected+l2-sp+freeze-g", count=3, weight=0.5)
    assert not changed["discriminator"] and block_numbers(changed["generator"]) == {"2", "3"}
    assert float(losses[0]["l2-sp discriminator"]) == 0 < float(losses[-1]["l2-sp discriminator"])
    assert trainer.snapshot().parts["discriminator"]["name"] == "projected"


def test_ewc_needs_the_sources_own_discriminator(gan: gz.GAN, images: ImageData) -> None:
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="ewc: small has no discriminator"):
        Combined({n: build_strategy(n, {}) for n in ("projected", "ewc")}).prepare(gan, gan, images)


def test_what_is_refused_leaves_no_run_folder(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    gan.discriminator = None
    del gan.parts["discriminator"]
    with pytest.raises(gz.UsageError, match="ewc: small has no trained discriminator"):
        gz.transfer(gan, data=images, strategy="ewc", steps=2, batch=8, out=tmp_path)
    assert not list(tmp_path.glob("0*"))


def test_rates_multiply(gan: gz.GAN, images: ImageData) -> None:
    class Slow(TransferStrategy):
        def group(self, network: nn.Module, role: str) -> list[gz.Group]:
            first, *rest = blocks(network)
            return [gz.Group(list(first.parameters()), 0.5),
                    gz.Group([p for block in rest for p in block.parameters()], 0.25)]  # fmt: skip

    plan = Combined({"a": Slow(), "b": Slow(), "c": TransferStrategy()}).prepare(gan, gan, images)
    assert [group.lr_multiplier for group in plan.groups["generator"]] == [0.25, 0.0625]


def test_a_part_may_drop_the_adversarial_term_and_latents_are_chained(gan: gz.GAN, images: ImageData) -> None:
    class Own(TransferStrategy):
        def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
            return {"own": adversarial * 0 + 1}

        def latents(self, noise: Tensor, step: int) -> Tensor:
            return noise + 1

    class Double(TransferStrategy):
        def generator_loss(self, adversarial: Tensor, batch: gz.Batch) -> dict[str, Tensor]:
            return {"generator": adversarial * 2}

        def latents(self, noise: Tensor, step: int) -> Tensor:
            return noise * 2

    batch: Any = None
    both = Combined({"double": Double(), "own": Own()})
    assert both.generator_loss(torch.tensor(3.0), batch) == {"own": 1}
    assert Combined({"a": Double(), "b": TransferStrategy()}).generator_loss(torch.tensor(3.0), batch) == {
        "generator": 6
    }
    assert both.latents(torch.tensor(1.0), 0) == 3


def test_what_doesnt_combine_says_so(gan: gz.GAN, images: ImageData) -> None:
    class Bringer(TransferStrategy):
        def prepare(self, source: gz.GAN, target: gz.GAN, data: Any) -> gz.Plan:
            plan = super().prepare(source, target, data)
            discriminator = registry.discriminators.build("dcgan", width=4)
            plan.discriminator = discriminator
            plan.groups["discriminator"] = self.group(discriminator, "discriminator")
            return plan

    class Looker(TransferStrategy):
        def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
            return super().discriminate(discriminator, images, step)

    freeze_d = build_strategy("freeze-d", {})
    with pytest.raises(gz.UsageError, match=r"mine brings its own .* must come first: mine\+freeze-d"):
        Combined({"freeze-d": freeze_d, "mine": Bringer()}).prepare(gan, gan, images)
    with pytest.raises(gz.UsageError, match="a and b can't be combined: each brings"):
        Combined({"a": Bringer(), "b": Bringer()}).prepare(gan, gan, images)
    with pytest.raises(gz.UsageError, match="a and b can't be combined: each overrides"):
        Combined({"a": Looker(), "b": Looker()})
    plan = Combined({"mine": Bringer(), "freeze-g": build_strategy("freeze-g", {})}).prepare(gan, gan, images)
    assert plan.discriminator is not None
    listed = {id(p) for p in plan.parameters("discriminator")}
    assert listed == {id(p) for p in plan.discriminator.parameters()}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("freeze-d+freeze-d", {}, "names a part twice"),
        ("l2-sp+projected", {"l2-sp.network": "both"}, r"must come first: projected\+l2-sp"),
        ("projected+freeze-d", {}, "ProjectedDiscriminator has one block, which can't be frozen"),
        ("scale-shift+vision-aided", {"latents": True}, "vision-aided brings would never be trained"),
        ("vision-aided", {"warmup": -1}, "warmup >= 0"),
        ("freeze-d+freezeg", {}, "unknown strategy 'freezeg'; did you mean freeze-g"),
        ("freeze-d+freeze-g", {"first": 1}, "freeze-d and freeze-g take it; write freeze-d.first="),
        ("freeze-d+l2-sp", {"last": 1}, "argument 'last': no part takes it"),
        ("freeze-d+l2-sp", {"partial.last": 1}, "has no part 'partial'"),
        ("freeze-d+l2-sp", {"freeze-d.last": 1}, "takes no argument 'last'; it takes: first"),
        ("l2-sp", {"weight": 0}, "l2-sp: weight must be positive, not 0"),
        ("ewc", {"samples": 0}, "samples must be at least 1, not 0"),
        ("gradual", {"every": 0}, "every must be at least 1 step, not 0"),
        ("freeze-d", {"first": 3}, "DCGANDiscriminator has 3 blocks, so first must be from 1 to 2, not 3"),
    ],
)
def test_wrong_strategies_are_explained(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((gz.UsageError, gz.UnknownNameError), match=said):
        trained(gan, images, name, **settings)


def test_a_combination_is_resumed_and_told(gan: gz.GAN, photos: Path, tmp_path: Path) -> None:
    source = gan.save(tmp_path / "small")
    settings = {k: v for k, v in TINY.items() if not k.endswith("_config")}
    settings |= {"data": photos, "channels": 1, "strategy": "gradual+ewc", "strategy_config": {"every": 2}}
    straight = gz.transfer(source, out=tmp_path / "a", **settings)
    run = tmp_path / "a" / "00000-small-photos-gradual+ewc"
    assert straight.lineage["strategy"] == "gradual+ewc" and straight.lineage["strategy_config"] == {
        "every": 2
    }
    assert "--strategy gradual+ewc" in straight.about["training"]["command"]
    newest = sorted((run / "checkpoints").iterdir())[-1]
    for file in newest.iterdir():
        file.unlink()
    newest.rmdir()
    again = gz.transfer(source, data=photos, resume=run)
    for name, tensor in straight.generator.state_dict().items():
        assert torch.equal(tensor, again.generator.state_dict()[name]), name
