"""What each transfer method promises beyond the contract, and what they do together."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import TINY, moved, state
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.training import engine
from gantl_zoo.training.classify import ClassifierRecipe, fit
from gantl_zoo.training.loop import Trainer
from gantl_zoo.training.recipe import Recipe
from gantl_zoo.transfer.anchor import Anchor, fisher
from gantl_zoo.transfer.combine import Combined, build_strategy
from gantl_zoo.transfer.mirror import mirrored
from gantl_zoo.transfer.strategy import TransferStrategy, blocks

ROLES = ("generator", "discriminator")


def trained(
    gan: gz.GAN, images: ImageData, name: str, count: int = 2, **settings: Any
) -> tuple[Trainer, dict[str, set[str]], list[dict[str, Tensor]]]:
    """A trainer after `count` steps, what moved in both players, and each step's losses."""
    before = {role: state(getattr(gan, role)) for role in ROLES}
    recipe = Recipe(steps=count, batch=4, precision="fp32", lr=1e-2)
    trainer = Trainer(gan, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32"))
    losses = [trainer.step(step, torch.arange(4)) for step in range(count)]
    return trainer, {role: moved(before[role], getattr(gan, role)) for role in ROLES}, losses


def block_numbers(names: set[str]) -> set[str]:
    return {name.split(".")[1] for name in names}


def apart(now: Iterable[Tensor], then: Iterable[Tensor]) -> float:
    """The squared distance."""
    return sum(float((p.detach() - q.detach()).square().sum()) for p, q in zip(now, then, strict=True))


@pytest.mark.parametrize(
    ("name", "settings", "generator", "discriminator"),
    [
        ("freeze-d", {}, "0123", "12"),
        ("freeze-d", {"first": 2}, "0123", "2"),
        ("freeze-g", {}, "23", "012"),
        ("freeze-g", {"first": 1}, "123", "012"),
    ],
)
def test_the_first_blocks_rest(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], generator: str, discriminator: str
) -> None:
    _, changed, _ = trained(gan, images, name, **settings)
    assert block_numbers(changed["generator"]) == set(generator)
    assert block_numbers(changed["discriminator"]) == set(discriminator)


def test_gradual_wakes_one_more_block_every_so_often(gan: gz.GAN, images: ImageData) -> None:
    recipe = Recipe(steps=6, batch=4, precision="fp32")
    trainer = Trainer(
        gan, build_strategy("gradual", {"every": 2}), images, recipe, engine.choose("cpu", "fp32")
    )
    seen = []
    for step in range(6):
        before = state(gan.generator)
        trainer.step(step, torch.arange(4))
        seen.append(block_numbers(moved(before, gan.generator)))
    assert seen == [{"3"}, {"3"}, {"2", "3"}, {"2", "3"}, {"1", "2", "3"}, {"1", "2", "3"}]


def test_gradual_shares_no_parameter_between_groups() -> None:
    network = nn.Module()
    one, two = nn.Linear(2, 2), nn.Linear(2, 2)
    two.weight = one.weight
    network.blocks = nn.ModuleList([one, two])
    groups = build_strategy("gradual", {}).group(network, "generator")
    listed = [id(p) for group in groups for p in group.parameters]
    assert len(listed) == len(set(listed)) == 3 and [g.active for g in groups] == [False, True]


def test_scale_shift_moves_no_filter(gan: gz.GAN, images: ImageData) -> None:
    _, changed, _ = trained(gan, images, "scale-shift")
    kinds = {name.rsplit(".", 1)[0].rsplit(".", 1)[1] for name in changed["generator"]}
    assert kinds == {"norm"} and block_numbers(changed["discriminator"]) == {"0", "1", "2"}
    with pytest.raises(gz.UsageError, match="the discriminator DCGANDiscriminator has no norms with a scale"):
        trained(gan, images, "scale-shift", network="both")


def test_an_anchor_is_half_the_squared_distance_each_by_its_strength() -> None:
    start = [torch.tensor([1.0, 2.0]), torch.tensor([5.0])]
    now = [nn.Parameter(torch.tensor([2.0, 4.0])), nn.Parameter(torch.tensor([9.0]), requires_grad=False)]
    assert float(Anchor(start)(now).detach()) == pytest.approx((1 + 4) / 2), "what rests is not pulled"
    strengths = [torch.tensor([10.0, 0.5]), torch.tensor([1.0])]
    assert float(Anchor(start, strengths)(now).detach()) == pytest.approx((10 + 2) / 2)


@pytest.mark.parametrize("name", ["l2-sp", "ewc"])
def test_a_held_network_stays_nearer_to_its_start(gan: gz.GAN, images: ImageData, name: str) -> None:
    def distance(weight: float) -> float:
        mine = copy.deepcopy(gan)
        before = [p.clone() for p in mine.generator.parameters()]
        _, _, losses = trained(mine, images, name, count=6, weight=weight)
        extra = {"l2-sp": "l2-sp generator", "ewc": "ewc"}[name]
        assert float(losses[0][extra]) == 0 < float(losses[-1][extra])
        return apart(mine.generator.parameters(), before)

    assert distance(1e3) < 0.7 * distance(1e-9)


def test_the_fisher_information_in_closed_form() -> None:
    class Scale(nn.Module):
        """Image a·z of latents (N, 2)."""

        def __init__(self) -> None:
            super().__init__()
            self.a = nn.Parameter(torch.tensor([0.5, -2.0]))

        def forward(self, noise: Tensor) -> Tensor:
            return noise * self.a

    scale = Scale()
    scale.latent_dim = 2  # type: ignore[assignment]
    judge = nn.Linear(2, 1)
    found = fisher(gz.GAN(scale, judge, {}), 50)[0]
    z = torch.stack([torch.randn(2, generator=torch.Generator().manual_seed(i)) for i in range(50)])
    logits = judge(z * scale.a)
    expected = (torch.sigmoid(-logits) * judge.weight * z).square().mean(0)
    torch.testing.assert_close(found, (expected / expected.mean()).detach())


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
        trainer = Trainer(mine, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32"))
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
    assert trainer.snapshot().parts["discriminator"]["name"] == "backbone"


def test_ewc_needs_the_sources_own_discriminator(gan: gz.GAN, images: ImageData) -> None:
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="ewc: small has no discriminator"):
        Combined({n: build_strategy(n, {}) for n in ("projected", "ewc")}).prepare(gan, gan, images)


def test_what_is_refused_leaves_no_run_folder(gan: gz.GAN, images: ImageData, tmp_path: Path) -> None:
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="has no discriminator, and adversarial"):
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
            judge = registry.discriminators.build("dcgan", width=4)
            plan.discriminator, plan.groups["discriminator"] = judge, self.group(judge, "discriminator")
            return plan

    class Looker(TransferStrategy):
        def discriminate(self, discriminator: nn.Module, images: Tensor, step: int) -> Tensor:
            return super().discriminate(discriminator, images, step)

    freeze_d = build_strategy("freeze-d", {})
    with pytest.raises(gz.UsageError, match=r"mine brings a discriminator .* comes first: mine\+freeze-d"):
        Combined({"freeze-d": freeze_d, "mine": Bringer()}).prepare(gan, gan, images)
    with pytest.raises(gz.UsageError, match="a and b don't combine: each brings"):
        Combined({"a": Bringer(), "b": Bringer()}).prepare(gan, gan, images)
    with pytest.raises(gz.UsageError, match="a and b don't combine: each sees"):
        Combined({"a": Looker(), "b": Looker()})
    plan = Combined({"mine": Bringer(), "freeze-g": build_strategy("freeze-g", {})}).prepare(gan, gan, images)
    assert plan.discriminator is not None
    listed = {id(p) for p in plan.parameters("discriminator")}
    assert listed == {id(p) for p in plan.discriminator.parameters()}


@pytest.mark.parametrize(
    ("name", "settings", "said"),
    [
        ("freeze-d+freeze-d", {}, "names a part twice"),
        ("l2-sp+projected", {"l2-sp.network": "both"}, r"comes first: projected\+l2-sp"),
        ("projected+freeze-d", {}, "BackboneDiscriminator has one block, and something must learn"),
        ("vision-aided", {"warmup": -1}, "warmup >= 0"),
        ("freeze-d+freezeg", {}, "unknown strategy 'freezeg'; did you mean freeze-g"),
        ("freeze-d+freeze-g", {"first": 1}, "freeze-d and freeze-g take it; write freeze-d.first="),
        ("freeze-d+l2-sp", {"last": 1}, "argument 'last': no part takes it"),
        ("freeze-d+l2-sp", {"partial.last": 1}, "has no part 'partial'"),
        ("freeze-d+l2-sp", {"freeze-d.last": 1}, "takes no argument 'last'; it takes: first"),
        ("l2-sp", {"weight": 0}, "l2-sp: weight=0 must be positive"),
        ("ewc", {"samples": 0}, "samples=0 is no count"),
        ("gradual", {"every": 0}, "every=0 is no number of steps"),
        ("freeze-d", {"first": 3}, "first=3 of DCGANDiscriminator, which has 3 blocks; from 1 to 2"),
    ],
)
def test_wrong_strategies_are_explained(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((gz.UsageError, gz.UnknownNameError), match=said):
        trained(gan, images, name, **settings)


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("gradual", {"every": 2}, "123"),
        ("l2-sp", {}, "0123"),
        ("scale-shift", {}, "0123"),
        ("partial+l2-sp", {}, "23"),
    ],
)
def test_methods_fine_tune_classifiers(
    images: ImageData, name: str, settings: dict[str, Any], expected: str
) -> None:
    backbone = registry.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
    before = state(backbone)
    recipe = ClassifierRecipe(epochs=1, batch=8)  # 40 images: five steps
    fit(backbone, build_strategy(name, settings), images, recipe, engine.choose("cpu", "fp32"), print_nothing)
    changed = moved(before, backbone)
    assert block_numbers(changed) == set(expected)
    if name == "scale-shift":
        assert not [n for n in changed if ".conv." in n]


def print_nothing(*report: object) -> None: ...


@pytest.mark.parametrize("name", ["freeze-d", "freeze-g", "ewc", "projected", "mirror", "freeze-d+l2-sp"])
def test_what_is_for_gans_only_says_so(name: str) -> None:
    backbone = registry.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
    with pytest.raises(gz.UsageError, match="is for GANs"):
        build_strategy(name, {}).prepare_backbone(backbone)


def test_a_held_classifier_stays_nearer_to_its_start(images: ImageData) -> None:
    def distance(weight: float) -> float:
        torch.manual_seed(0)
        backbone = registry.backbones.build("cnn", widths=[4, 4, 8], num_classes=2)
        before = [p.clone() for p in blocks(backbone)[0].parameters()]
        recipe = ClassifierRecipe(epochs=2, batch=8, lr=1e-2)
        strategy = build_strategy("l2-sp", {"weight": weight})
        fit(backbone, strategy, images, recipe, engine.choose("cpu", "fp32"), print_nothing)
        return apart(blocks(backbone)[0].parameters(), before)

    assert distance(1e3) < 0.5 * distance(1e-9)


def test_a_projected_discriminator_is_frozen_features_mixed_and_heads(
    gan: gz.GAN, images: ImageData, tmp_path: Path
) -> None:
    released = gz.load_model("cnn-mnist").backbone.state_dict()  # type: ignore[union-attr]
    gan.discriminator = None  # not needed
    trainer = Trainer(
        gan, build_strategy("projected", {"width": 8}), images,
        Recipe(steps=2, batch=4, precision="fp32", lr=1e-2, loss="hinge"), engine.choose("cpu", "fp32"),
    )  # fmt: skip
    rival = trainer.networks["discriminator"]
    before = state(rival)
    for step in range(2):
        trainer.step(step, torch.arange(4))
    changed = moved(before, rival)
    assert changed == {name for name in before if name.startswith("heads.")}
    assert all(torch.equal(tensor, before[f"backbone.{name}"]) for name, tensor in released.items())

    folder = trainer.snapshot().save(tmp_path / "model")
    again = gz.load_model(folder)
    assert again.parts["discriminator"]["name"] == "backbone"  # type: ignore[union-attr]
    shown = images.images[:3].float() / 127.5 - 1
    with torch.no_grad():
        torch.testing.assert_close(again.discriminator(shown), rival.eval()(shown))  # type: ignore[union-attr]


def test_mixing_spreads_what_one_channel_saw() -> None:
    network = gz.discriminators.build("backbone", backbone="cnn", weights="cnn-mnist", mix=True)
    maps = [torch.zeros(1, k, s, s) for k, s in ((32, 14), (64, 7), (128, 4))]
    maps[2][0, 5, 2, 2] = 1.0  # one channel at one place of the coarsest map
    mixed = network.mixing(maps)
    assert [tuple(m.shape) for m in mixed] == [tuple(m.shape) for m in maps]
    for features in mixed:
        assert (features.abs().amax(dim=(0, 2, 3)) > 0).all(), "every channel of every scale has seen it"
    assert not any(p.requires_grad for p in network.mixing.parameters())


def test_the_second_discriminator_joins_after_the_warmup_and_stays_behind(
    gan: gz.GAN, images: ImageData
) -> None:
    recipe = Recipe(steps=4, batch=4, precision="fp32", lr=1e-2)
    strategy = build_strategy("vision-aided", {"warmup": 2, "width": 8, "weight": 0.5})
    trainer = Trainer(gan, strategy, images, recipe, engine.choose("cpu", "fp32"))
    second = trainer.plan.modules["vision"]
    before = state(second)
    for step in range(2):
        assert set(trainer.step(step, torch.arange(4))) == {"generator", "discriminator"}
    assert not moved(before, second)
    for step in (2, 3):
        losses = trainer.step(step, torch.arange(4))
        assert set(losses) > {"vision generator", "vision discriminator"}
    assert moved(before, second) == {name for name in before if name.startswith("heads.")}
    assert trainer.snapshot().parts == gan.parts


def test_the_second_discriminators_loss_in_closed_form(gan: gz.GAN, images: ImageData) -> None:
    strategy: Any = build_strategy("vision-aided", {"warmup": 0, "weight": 2.0, "smoothing": 0.1})
    strategy.prepare(gan, gan, images)
    strategy.second = lambda x: x.mean(dim=(1, 2, 3))
    real, fake = torch.full((2, 1, 4, 4), 0.5), torch.full((2, 1, 4, 4), -1.0)
    batch = gz.Batch(0, real, torch.zeros(2, 8), fake, gan.generator, gan.discriminator)
    found = strategy.discriminator_loss(torch.tensor(0.0), batch)["vision discriminator"]
    log = torch.nn.functional.logsigmoid
    r, f = torch.tensor(0.5), torch.tensor(-1.0)
    torch.testing.assert_close(found, 2 * (-0.9 * log(r) - 0.1 * log(-r) - log(-f)))
    wanted = strategy.generator_loss(torch.tensor(0.0), batch)["vision generator"]
    torch.testing.assert_close(wanted, 2 * -log(f))


@pytest.mark.parametrize("name", ["projected", "vision-aided", "mirror"])
@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"backbone": "cnn"}, "an architecture without weights"),
        ({"backbone": "dcgan-mnist"}, "dcgan-mnist is a gan; a classifier is needed"),
        ({"backbone": "timm:resnet10t"}, "weights of timm:resnet10t can't be had"),
    ],
)
def test_a_backbone_that_cant_see_is_explained(
    gan: gz.GAN, images: ImageData, name: str, settings: dict[str, Any], said: str
) -> None:
    with pytest.raises((gz.UsageError, gz.WeightsError), match=said):
        trained(gan, images, name, **settings)


def test_mirror_writes_with_the_kernels_that_read(gan: gz.GAN, images: ImageData) -> None:
    released = gz.load_model("cnn-mnist").backbone  # type: ignore[union-attr]
    first = released.blocks[0][0].weight  # (32, 1, 3, 3)
    last = gan.generator.blocks[-1].conv  # from 4 channels to 1, 5×5, transposed
    spread = last.weight.std().item()
    before = state(gan.generator)
    build_strategy("mirror", {}).prepare(copy.deepcopy(gan), gan, images)
    changed = {name for name, t in gan.generator.state_dict().items() if not torch.equal(t, before[name])}
    assert changed == {f"blocks.{i}.conv.weight" for i in (1, 2, 3)}
    written = last.weight.detach()
    assert written.std().item() == pytest.approx(spread, rel=1e-4) and not written[:, :, 0].any()
    scale = written[0, 0, 1, 1] / first[0, 0, 0, 0].detach()
    torch.testing.assert_close(written[:, :, 1:4, 1:4], first[:4].detach() * scale)


def test_a_mirrored_kernel_undoes_the_direction() -> None:
    """A transposed convolution with a kernel is a convolution with the mirrored one."""
    kernel = torch.randn(6, 2, 3, 3)  # from 2 to 6 channels
    up = nn.ConvTranspose2d(6, 2, 3, padding=1, bias=False)
    flat = nn.Conv2d(6, 2, 3, padding=1, bias=False)
    for conv in (up, flat):
        conv.weight.data = mirrored(kernel, conv).detach()
        conv.weight.data *= kernel.std() / conv.weight.std()
    features = torch.randn(1, 6, 5, 5)
    torch.testing.assert_close(up(features), flat(features))
    assert mirrored(torch.randn(3, 1, 7, 7), nn.ConvTranspose2d(5, 4, 4)).shape == (5, 4, 4, 4)


def test_a_grey_backbone_refuses_colours(images: ImageData) -> None:
    gan = gz.build_gan(
        "dcgan", generator_config={"width": 4, "channels": 3}, discriminator_config={"width": 4}
    )
    with pytest.raises(gz.UsageError, match="projected: cnn-mnist sees 1 channel"):
        trained(gan, images.fit(None, 3), "projected", backbone="cnn-mnist")


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
