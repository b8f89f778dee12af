"""What each transfer method promises beyond the contract."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from helpers import block_numbers, moved, new_trainer, state, train_classifier, trained
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo import registry
from gantl_zoo.data import ImageData
from gantl_zoo.networks.base import blocks
from gantl_zoo.strategy.combine import build_strategy
from gantl_zoo.strategy.regularized import Anchor, fisher
from gantl_zoo.training import engine
from gantl_zoo.training.classifier import ClassifierRecipe
from gantl_zoo.training.recipe import Recipe


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
    trainer = new_trainer(
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


def test_gradual_reaches_what_lies_outside_a_networks_layers() -> None:
    """timm's transformers keep a class token and positions beside their blocks."""
    network = gz.backbones.build("timm:vit_tiny_patch16_224", pretrained=False, num_classes=2)
    listed = {
        id(p) for group in build_strategy("gradual", {}).group(network, "backbone") for p in group.parameters
    }
    assert listed == {id(p) for p in network.parameters()}


def test_scale_shift_moves_no_filter(gan: gz.GAN, images: ImageData) -> None:
    _, changed, _ = trained(gan, images, "scale-shift")
    kinds = {name.rsplit(".", 1)[0].rsplit(".", 1)[1] for name in changed["generator"]}
    assert kinds == {"norm"} and block_numbers(changed["discriminator"]) == {"0", "1", "2"}
    with pytest.raises(gz.UsageError, match="the discriminator DCGANDiscriminator has no norms with a scale"):
        trained(gan, images, "scale-shift", network="both")


def test_an_anchor_is_half_the_squared_distance_each_by_its_strength() -> None:
    start = [torch.tensor([1.0, 2.0]), torch.tensor([5.0])]
    now = [torch.tensor([2.0, 4.0]), torch.tensor([9.0])]
    strengths = [torch.tensor([10.0, 0.5]), torch.tensor([1.0])]
    for given, wanted in (((), (1 + 4) / 2), (strengths, (10 + 2) / 2)):  # frozen weights have no penalty
        live = [nn.Parameter(tensor.clone()) for tensor in start]
        live[1].requires_grad_(False)
        anchor = Anchor(live, given)
        with torch.no_grad():
            for mine, then in zip(live, now, strict=True):
                mine.copy_(then)
        assert float(anchor().detach()) == pytest.approx(wanted)
        anchor.begin(1)
        assert float(anchor().detach()) == pytest.approx(wanted), "a run that goes on keeps its start"
        anchor.begin(0)
        assert float(anchor().detach()) == 0


@pytest.mark.parametrize("name", ["l2-sp+mirror", "mirror+l2-sp", "ewc+mirror"])
def test_a_start_is_where_the_run_starts_in_any_order(gan: gz.GAN, images: ImageData, name: str) -> None:
    _, _, losses = trained(gan, images, name, count=2)
    (term,) = (key for key in losses[0] if key in ("l2-sp generator", "ewc"))
    assert float(losses[0][term]) == 0 < float(losses[1][term]), "not where the kernels were before mirror"


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
    discriminator = nn.Linear(2, 1)
    found = fisher(gz.GAN(scale, discriminator, {}), 50)[0]
    z = torch.stack([torch.randn(2, generator=torch.Generator().manual_seed(i)) for i in range(50)])
    logits = discriminator(z * scale.a)
    expected = (torch.sigmoid(-logits) * discriminator.weight * z).square().mean(0)
    torch.testing.assert_close(found, (expected / expected.mean()).detach())


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
    train_classifier(backbone, build_strategy(name, settings), images, recipe)
    changed = moved(before, backbone)
    assert block_numbers(changed) == set(expected)
    if name == "scale-shift":
        bodies = {n for n in changed if not n.startswith("blocks.3")}
        norms = {n for n, m in backbone.named_modules() if isinstance(m, nn.BatchNorm2d)}
        assert bodies and {n.rpartition(".")[0] for n in bodies} <= norms


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
        train_classifier(backbone, strategy, images, recipe)
        return apart(blocks(backbone)[0].parameters(), before)

    assert distance(1e3) < 0.5 * distance(1e-9)
