"""Augmentation of the discriminator's inputs: DiffAugment and ADA."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn import functional

import gantl_zoo as gz
from gantl_zoo.training import adaptive
from gantl_zoo.training.augment import ada, diffaugment
from gantl_zoo.training.augment.build import build_augment
from gantl_zoo.training.augment.diffaugment import DiffAugment
from gantl_zoo.training.augment.sampling import MIRRORED, REPLICATED, ZEROS, How, sample


def adapting(p: float) -> ada.AdaptiveAugment:
    """Adaptive augmentation whose probability has reached `p`."""
    augment = ada.AdaptiveAugment()
    augment.p.fill_(p)
    return augment


def certain(name: str) -> torch.nn.Module:
    """The augmentation, at full strength if it has one."""
    augment = build_augment(name)
    if isinstance(augment, ada.AdaptiveAugment):
        augment.p.fill_(1.0)
    return augment


@pytest.mark.parametrize("name", gz.augmentations.names())
@pytest.mark.parametrize("channels", [1, 3])
def test_shape_is_kept_and_gradients_go_through_twice(name: str, channels: int) -> None:
    images = torch.rand(8, channels, 16, 12, requires_grad=True)
    changed = certain(name)(images)
    assert changed.shape == images.shape
    (slope,) = torch.autograd.grad(changed.square().sum(), images, create_graph=True)
    slope.square().sum().backward()  # type: ignore[no-untyped-call]  # as R1 does
    assert images.grad is not None and images.grad.isfinite().all() and images.grad.abs().sum() > 0


def test_diffaugment_cuts_half_a_side_and_differs_by_image() -> None:
    images = torch.ones(64, 1, 32, 32)
    changed = DiffAugment()(images)
    assert len({tuple(image.flatten().tolist()) for image in changed}) == 64
    zeros = (changed == 0).float().mean()
    assert 0.1 < zeros < 0.5


@pytest.mark.parametrize("name", gz.augmentations.names())
def test_autocast_changes_nothing(name: str) -> None:
    images, augment = torch.rand(4, 3, 16, 16), certain(name)
    results = []
    for enabled in (False, True):
        torch.manual_seed(0)
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            results.append(augment(images))
    assert torch.equal(*results)


def test_diffaugment_shifts_brightness_then_scales_saturation_then_contrast() -> None:
    """The definition, one after the other; the code computes all three at once."""
    images = torch.rand(8, 3, 5, 4) * 2 - 1
    torch.manual_seed(0)
    changed = diffaugment.colour(images)
    torch.manual_seed(0)
    bright, saturate, contrast = torch.rand(3, 8, 1, 1, 1)
    expected = images + bright - 0.5
    grey = expected.mean(1, keepdim=True)
    expected = grey + (expected - grey) * saturate * 2
    mean = expected.mean((1, 2, 3), keepdim=True)
    torch.testing.assert_close(changed, mean + (expected - mean) * (contrast + 0.5))


def test_the_adaptive_one_does_nothing_at_first_and_much_at_full_strength() -> None:
    images = torch.rand(16, 3, 20, 20)
    assert torch.allclose(build_augment("ada")(images), images, atol=1e-5)
    changed = certain("ada")(images)
    assert all((a - b).abs().mean() > 0.05 for a, b in zip(images, changed, strict=True))


@pytest.mark.parametrize(("sure", "rises"), [(1.0, True), (0.2, False)])
def test_p_follows_how_sure_the_discriminator_is(sure: float, rises: bool) -> None:
    """r = E[sign D(real)] above 0.6: p grows by the images seen over 500,000; below: it shrinks."""
    augment = adapting(0.5)
    logits = torch.where(torch.arange(100) < 100 * (1 + sure) / 2, 1.0, -1.0)
    for _ in range(adaptive.INTERVAL):
        assert augment.p == 0.5
        augment.adapt(logits)
    change = 400 / adaptive.SPEED
    assert augment.p.item() == pytest.approx(0.5 + (change if rises else -change), abs=1e-7)
    assert augment.seen == 0


def test_p_stays_a_probability() -> None:
    augment = adapting(1.0)
    for _ in range(8):
        augment.adapt(torch.ones(100_000))
    assert augment.p == 1.0


def turned(images: Tensor, matrix: Tensor, offset: tuple[float, float] = (0, 0)) -> Tensor:
    count = len(images)
    return ada.resample(images, matrix.expand(count, 2, 2), torch.tensor(offset).expand(count, 2))


def test_resampling_is_exact_for_turns_flips_and_whole_shifts() -> None:
    images = torch.rand(2, 3, 9, 9)
    quarter = ada.rotation(torch.tensor([math.pi / 2]))
    assert torch.allclose(turned(images, quarter), images.rot90(1, (2, 3)), atol=1e-5)
    flip = torch.tensor([[-1.0, 0.0], [0.0, 1.0]])
    assert torch.allclose(turned(images, flip), images.flip(3), atol=1e-5)
    moved = turned(images, torch.eye(2), (2.0, 1.0))
    assert torch.allclose(moved[:, :, :8, :7], images[:, :, 1:, 2:], atol=1e-5)
    assert torch.allclose(moved[:, :, 8, 0], images[:, :, 7, 2], atol=1e-5)  # mirrored


def test_the_map_is_the_product_of_the_transforms_in_order() -> None:
    """Appendix B of the paper: one matrix (3, 3) for each transform, multiplied one after the other."""
    flip = torch.tensor([1.0, -1.0])
    angles, zoom, stretch = torch.randn(3, 2), torch.rand(2) + 0.5, torch.rand(2) + 0.5
    whole, shift = torch.tensor([[1.0, -2.0], [0.0, 3.0]]), torch.randn(2, 2)
    matrix, offset = ada.combined(flip, ada.rotation(angles), whole, zoom, stretch, shift)
    for i in range(2):

        def scaling(across: Tensor, down: Tensor) -> Tensor:
            return torch.diag(torch.stack([across, down, torch.tensor(1.0)]))

        def rotation(angle: Tensor) -> Tensor:
            return torch.block_diag(ada.rotation(angle), torch.tensor([[1.0]]))

        def translation(by: Tensor) -> Tensor:
            return torch.cat([torch.eye(3)[:, :2], torch.cat([by, torch.ones(1)])[:, None]], dim=1)

        quarter, first, second = (rotation(angle) for angle in angles[:, i])
        expected = scaling(flip[i], torch.tensor(1.0)) @ quarter @ translation(whole[i])
        expected = expected @ scaling(zoom[i], zoom[i]) @ first @ scaling(stretch[i], 1 / stretch[i]) @ second
        expected = expected @ translation(shift[i])
        torch.testing.assert_close(torch.cat([matrix[i], offset[i][:, None]], dim=1), expected[:2])


def test_colours_change_as_they_would_one_after_the_other() -> None:
    images, grey = torch.rand(4, 3, 5, 6), torch.full((3, 3), 1 / 3)
    contrast, flip, saturate = torch.rand(3, 4, 1, 1) + 0.5
    bright, angle = torch.randn(2, 4, 1, 1)
    luma = contrast * (1 - 2 * (flip > 1).float())
    changed = ada.recoloured(images, luma, luma * bright, contrast * saturate, angle)
    for image, result, b, c, f, s, a in zip(
        images, changed, bright, contrast, flip, saturate, angle, strict=True
    ):
        axis = torch.ones(3) / math.sqrt(3)
        cross = torch.linalg.cross(axis.expand(3, 3), torch.eye(3)).mT
        turn = a.cos() * torch.eye(3) + a.sin() * cross + (1 - a.cos()) * torch.outer(axis, axis)
        matrices = [torch.eye(3) - 2 * grey * (f > 1), turn, grey + s * (torch.eye(3) - grey)]
        colours = (image.flatten(1) + b) * c  # (3, HW)
        for matrix in matrices:
            colours = matrix @ colours
        torch.testing.assert_close(result.flatten(1), colours)


def test_each_transform_is_applied_with_probability_p(monkeypatch: pytest.MonkeyPatch) -> None:
    count, p, side = 20_000, 0.3, 16
    drawn: dict[str, Tensor] = {}

    def recorder(name: str, *names: str) -> Callable[..., Any]:
        return lambda *values: drawn.update(zip(names, values, strict=True)) or (values[0], None)  # type: ignore[func-returns-value]

    monkeypatch.setattr(ada, "combined", recorder("", "flip", "turns", "whole", "zoom", "stretch", "shift"))
    monkeypatch.setattr(ada, "resample", lambda images, *rest: images)
    monkeypatch.setattr(ada, "rotation", lambda angles: angles)
    monkeypatch.setattr(ada, "recoloured", recorder("", "images", "luma", "bright", "chroma", "hue"))
    images = torch.zeros(count, 3, side, side)
    torch.manual_seed(0)
    ada.warp(images, torch.tensor(p)), ada.recolour(images, torch.tensor(p))
    quarter, first, second = drawn["turns"]
    luma, chroma = drawn["luma"].flatten(), drawn["chroma"].flatten()
    either = 1 - math.sqrt(1 - p)
    shares = {  # of images that are changed
        "flip": (drawn["flip"] < 0, p / 2),
        "quarter": (quarter != 0, p * 3 / 4),
        "whole": (drawn["whole"].any(1), p * (1 - 1 / 16)),  # ±2 pixels: a quarter rounds to 0
        "zoom": (drawn["zoom"] != 1, p),
        "stretch": (drawn["stretch"] != 1, p),
        "shift": (drawn["shift"].any(1), p),
        "first": (first != 0, either),
        "second": (second != 0, either),
        "bright": (drawn["bright"].flatten() != 0, p),
        "contrast": (luma.abs() != 1, p),
        "luma": (luma < 0, p / 2),
        "saturation": ((chroma / luma.abs() - 1).abs() > 1e-6, p),
        "hue": (drawn["hue"].flatten() != 0, p),
    }
    for name, (changed, share) in shares.items():
        assert changed.float().mean() == pytest.approx(share, abs=0.013), name  # four standard deviations
    table = torch.stack([changed.float() for changed, _ in shares.values()])
    related = torch.corrcoef(table) - torch.eye(len(table))
    assert related.abs().max() < 0.04, "all are independent"
    turned = quarter[quarter != 0] / (math.pi / 2)
    assert {round(value, 3) for value in turned.tolist()} == {1, 2, 3}
    assert drawn["whole"].abs().max() <= ada.SHIFT * side
    assert drawn["zoom"][drawn["zoom"] != 1].log().std() == pytest.approx(ada.SCALE, rel=0.05)
    assert drawn["shift"][drawn["shift"] != 0].std() == pytest.approx(ada.SHIFT * side, rel=0.05)
    assert luma[luma.abs() != 1].abs().log().std() == pytest.approx(ada.CONTRAST, rel=0.05)
    hue = drawn["hue"][drawn["hue"] != 0]
    assert hue.mean() == pytest.approx(math.pi, rel=0.05) and hue.max() < 2 * math.pi


def test_warping_and_recolouring_commute() -> None:
    """So the order of the two is free."""
    images = torch.rand(2, 3, 8, 8)
    matrix, offset = ada.rotation(torch.tensor([0.4, 2.0])), torch.tensor([[1.5, 0.0], [-3.0, 2.0]])
    one = torch.ones(2, 1, 1)

    def colours(images: Tensor) -> Tensor:
        return ada.recoloured(images, -one, one / 2, one * 1.5, one)

    torch.testing.assert_close(
        ada.resample(colours(images), matrix, offset), colours(ada.resample(images, matrix, offset))
    )


def test_colours_keep_grey_grey() -> None:
    """Hue and saturation turn around the grey axis: a grey image has none."""
    grey = torch.rand(32, 1, 6, 6).expand(-1, 3, -1, -1)
    changed = ada.recolour(grey, torch.tensor(1.0))
    assert torch.allclose(changed[:, 0], changed[:, 1], atol=1e-5)
    assert torch.allclose(changed[:, 0], changed[:, 2], atol=1e-5)
    assert not torch.allclose(changed, grey, atol=0.05)


def test_an_image_counts_once_however_many_patches_are_judged() -> None:
    """Logits (N, 1, h, w) of patches: the image's mean decides, and p moves by images."""
    patches, whole = adapting(0.5), adapting(0.5)
    for _ in range(adaptive.INTERVAL):
        patches.adapt(torch.ones(50, 1, 7, 7))
        whole.adapt(torch.ones(50))
    assert patches.p == whole.p > 0.5


def test_grids_are_built_once_and_in_any_mode() -> None:
    """What is kept must not belong to the first caller's inference mode: nothing could be trained with it."""
    ada.lattice.cache_clear(), ada.colour_axes.cache_clear()
    augment, images = ada.AdaptiveAugment(p=1.0), torch.rand(2, 3, 6, 5)
    with torch.inference_mode():
        augment(images)
    augment(images.requires_grad_()).sum().backward()
    assert images.grad is not None and ada.lattice.cache_info().misses == 1
    x, y, sides = ada.lattice(6, 5, images.device)
    assert x.tolist() == [-2, -1, 0, 1, 2] and y.tolist()[0] == -2.5 and sides.tolist() == [5, 6]


@pytest.mark.parametrize(("border", "mode"), [(ZEROS, "constant"), (REPLICATED, "replicate")], ids=str)
def test_a_shift_is_a_part_of_the_padded_image(border: How, mode: str) -> None:
    images = torch.randn(6, 2, 7, 5)
    torch.manual_seed(0)
    shifted = diffaugment.shift(images, 3, 2, border)
    torch.manual_seed(0)
    top, left = torch.randint(7, (6, 1)), torch.randint(5, (6, 1))
    padded = functional.pad(images, (2, 2, 3, 3), mode=mode)
    for image, large, down, across in zip(shifted, padded, top.flatten(), left.flatten(), strict=True):
        assert torch.equal(image, large[:, down : down + 7, across : across + 5])


@pytest.mark.parametrize("border", [ZEROS, REPLICATED], ids=str)
def test_a_shift_has_first_and_second_derivatives(border: How) -> None:
    images = torch.randn(3, 2, 4, 5, dtype=torch.float64, requires_grad=True)

    def shift(images: Tensor) -> Tensor:
        torch.manual_seed(0)
        return diffaugment.shift(images, 3, 2, border)

    assert torch.autograd.gradcheck(shift, images)
    assert torch.autograd.gradgradcheck(shift, images)


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("name", ["none", "diffaugment", "ada"])
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_the_layout_changes_nothing_and_the_type_is_kept(
    name: str, dtype: torch.dtype, channels: int
) -> None:
    images, augment = torch.rand(4, channels, 8, 8, dtype=dtype), certain(name)
    results = []
    for layout in (torch.contiguous_format, torch.channels_last):
        torch.manual_seed(0)
        results.append(augment(images.contiguous(memory_format=layout)))
    assert results[0].dtype == dtype
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("how", [MIRRORED, ZEROS, REPLICATED], ids=str)
def test_sampling_has_first_and_second_derivatives(how: How) -> None:
    images = torch.randn(2, 3, 5, 7, dtype=torch.float64, requires_grad=True)
    grid = torch.randn(2, 4, 6, 2, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda images: sample(images, grid, how), images)
    assert torch.autograd.gradgradcheck(lambda images: sample(images, grid, how), images)
    half = sample(images.bfloat16(), grid, how)
    assert torch.equal(half, sample(images.bfloat16().double(), grid, how).bfloat16())


def test_diffaugment_applies_the_transforms_of_its_policy() -> None:
    images = torch.rand(64, 3, 16, 16) / 4 + 0.25

    def seeded(transform: Callable[[Tensor], Tensor]) -> Tensor:
        torch.manual_seed(0)
        return transform(images)

    def changed(policy: str) -> Tensor:
        return seeded(build_augment("diffaugment", {"policy": policy}))

    assert torch.equal(changed("colour"), seeded(diffaugment.colour))
    assert torch.equal(changed("translation"), seeded(diffaugment.translate))
    assert torch.equal(changed("cutout"), seeded(diffaugment.cutout))
    assert torch.equal(changed("cutout, colour"), changed("colour,cutout")), "in the paper's order"
    assert torch.equal(seeded(DiffAugment()), changed("colour,translation,cutout"))


def test_a_fixed_probability_does_not_adapt() -> None:
    augment = build_augment("ada", {"p": 0.25})
    assert isinstance(augment, ada.AdaptiveAugment)
    for _ in range(2 * adaptive.INTERVAL):
        augment.adapt(torch.ones(1_000))
    assert augment.p == 0.25 and augment.calls == 0


@pytest.mark.parametrize(("target", "rises"), [(0.1, True), (0.3, False)])
def test_the_target_can_be_chosen(target: float, rises: bool) -> None:
    augment = build_augment("ada", {"target": target})
    assert isinstance(augment, ada.AdaptiveAugment)
    augment.p.fill_(0.5)
    for _ in range(adaptive.INTERVAL):
        augment.adapt(torch.where(torch.arange(100) < 60, 1.0, -1.0))  # E[sign] is 0.2
    assert bool(augment.p > 0.5) == rises and augment.p != 0.5


@pytest.mark.parametrize(
    ("name", "config", "said"),
    [
        ("diffaugment", {"policy": "color"}, "diffaugment: unknown transform 'color'; did you mean colour"),
        ("diffaugment", {"policy": ""}, "diffaugment: unknown transform ''"),
        ("ada", {"p": -0.1}, r"ada: p must be from 0 to 1, not -0\.1"),
        ("ada", {"p": 0.1, "target": 0.6}, "ada: p fixes the probability, and target adapts it"),
        ("none", {"p": 0.1}, "augmentation 'none' takes no argument 'p'"),
        ("adaptive", {}, "unknown augmentation 'adaptive'"),
    ],
)
def test_wrong_augmentations_are_explained(name: str, config: dict[str, Any], said: str) -> None:
    with pytest.raises(gz.UsageError, match=said):
        gz.Recipe(aug=name, aug_config=config)
