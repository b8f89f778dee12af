"""Latent tools with an intermediate latent space: those of a small StyleGAN2."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, run
from test_stylegan2_training import stylegan2
from torch import nn

import gantl_zoo as gz
from gantl_zoo.latent.distance import distance_named
from gantl_zoo.latent.interpolation import METHODS
from gantl_zoo.latent.project import Descent, Noise, deviation
from gantl_zoo.latent.space import points, random_points
from gantl_zoo.networks.base import blocks

QUICK: dict[str, Any] = {"steps": 3, "starts": 2, "tries": 8, "distance": "mse"}


@pytest.fixture
def style() -> gz.GAN:
    return settled(stylegan2())


def settled(gan: gz.GAN) -> gz.GAN:
    """A GAN with the mean of its latents, and with images that differ."""
    with torch.no_grad():
        for _ in range(3):
            gan.generator.mapping.w_avg.copy_(random_points(gan, 500).latents[:, 0].mean(0))
        for block in gan.generator.synthesis.blocks:
            nn.init.normal_(block.torgb.weight, 0.0, 0.3)
    return gan


def test_each_block_of_a_network_with_w_is_compared_from_the_noise_on(style: gz.GAN, tmp_path: Path) -> None:
    target = gz.GAN.from_pretrained(style.save(tmp_path / "model"))
    rows = gz.latent.block_movement(style, target, samples=4)
    assert len(rows) == len(blocks(style.generator)) + len(blocks(style.discriminator))
    assert all(row["activations"] == row["weights"] == 0 for row in rows)
    with torch.no_grad():
        target.generator.mapping.fc1.bias.add_(5)
    moved = [r["activations"] for r in gz.latent.block_movement(style, target, samples=4)]
    assert min(moved[: len(blocks(style.generator))]) > 0.01, "all blocks follow the mapping network"


def test_compare_draws_a_network_with_w(
    style: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model, out = style.save(tmp_path / "model"), tmp_path / "x.png"
    words = ("latent", "compare", model, "--source", model, "--seeds", "0-1", "--out", out)
    code, text, error = run(capsys, *words)
    assert code == 0 and text.splitlines()[-1] == str(out), error
    assert text.splitlines()[0].split() == ["network", "block", "weights", "activations"]


def test_rows_of_a_table_may_lack_a_column() -> None:
    from gantl_zoo.cli.latent_options import table

    lines = [line.split() for line in table([{"a": 1}, {"a": 2, "b": "x"}])]
    assert lines == [["a", "b"], ["1"], ["2", "x"]]


def test_other_discriminators_are_left_out_with_a_note(
    style: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = stylegan2({"channel_max": 4})
    rows = gz.latent.block_movement(style, other, samples=2)
    assert {row["network"] for row in rows} == {"generator"}
    models = [gan.save(tmp_path / name) for name, gan in (("a", style), ("b", other))]
    words = (
        "latent",
        "compare",
        models[1],
        "--source",
        models[0],
        "--seeds",
        "0",
        "--out",
        tmp_path / "x.png",
    )
    code, _, error = run(capsys, *words)
    assert code == 0 and "note: the discriminators of unnamed and unnamed have different tensors" in error


def test_an_ablation_does_not_depend_on_the_other_seeds(style: gz.GAN) -> None:
    several = gz.latent.ablate_blocks(style, range(18))
    alone = gz.latent.ablate_blocks(style, [17])
    assert sorted(several) == sorted(alone) == list(range(len(blocks(style.generator))))
    for block, images in several.items():
        assert torch.equal(images[17:], alone[block])
    assert (several[0] == several[0][:1]).all(), "without the mapping network all images are the mean one"
    whole = style.generate(seeds=range(18))
    assert all(not torch.allclose(images, whole) for images in several.values())


def test_the_noise_of_a_projection_in_w_is_relative_to_the_distance_from_the_mean(style: gz.GAN) -> None:
    latents = random_points(style, 1_000).latents[:, 0]
    distances = (latents - latents.mean(0)).square().sum(1)
    assert deviation(style) == pytest.approx(float(distances.mean().sqrt()), rel=1e-2)
    start = latents[:1, None].expand(-1, style.generator.num_layers, -1)
    measure = distance_named("mse", style.image_shape, style.device)
    for space in ("w", "w+"):
        noise = Noise(torch.zeros(1, dtype=torch.long), 0)
        descent = Descent(style, torch.zeros(1, 1, 32, 32), start, None, measure, space, noise)
        assert descent.std == deviation(style)


def test_a_model_in_bfloat16_has_directions_and_projections(style: gz.GAN) -> None:
    half = style.to(torch.bfloat16)
    directions = gz.latent.find_directions(half, count=2)
    assert directions.fits(half) and directions.vectors.isfinite().all()
    assert len(gz.latent.effects(half, directions, distance="mse", seeds=range(2))) == 2
    found = gz.latent.project(half, half.generate(1), **QUICK)
    assert found.latents.about["digest"] == directions.about["digest"]


def test_realness_of_an_image_does_not_depend_on_the_others(style: gz.GAN) -> None:
    images = style.generate(6, seed=3)
    order = torch.tensor([4, 0, 5, 2, 1, 3])
    logits = gz.latent.realness(style, images)
    torch.testing.assert_close(gz.latent.realness(style, images[order]), logits[order])
    torch.testing.assert_close(gz.latent.realness(style, images[:1]), logits[:1])
    assert logits.unique().numel() == 6


def test_realness_with_classes_takes_those_of_the_images() -> None:
    gan = stylegan2({"num_classes": 3}, num_classes=3)
    embeddings = [p for n, p in gan.discriminator.named_parameters() if n.endswith("embed.weight")]
    nn.init.normal_(embeddings[0])
    images = gan.generate(3, labels=1)
    logits = [gz.latent.realness(gan, images, label) for label in (0, 2)]
    assert not torch.allclose(*logits)


def test_classes_are_interpolated_in_z() -> None:
    gan = settled(stylegan2(num_classes=3))
    images = gz.latent.interpolate(gan, [5, 5], steps=4, labels=[0, 2], space="z").tensor
    torch.testing.assert_close(images[[0, -1]], gan.generate(seeds=[5, 5], labels=[0, 2]))
    assert all(not torch.allclose(one, other) for one, other in itertools.pairwise(images))
    assert gan.generator.mapping.embed.weight.shape == (8, 3) and gan.num_classes == 3


@pytest.mark.parametrize("method", ["sefa", "ganspace"])
def test_directions_in_w_are_in_standard_deviations_within_a_class(method: str) -> None:
    gan = settled(stylegan2(num_classes=2))
    with torch.no_grad():  # classes far apart in W
        gan.generator.mapping.fc0.weight[:, 8:].mul_(30)
    directions = gz.latent.find_directions(gan, method, count=3, samples=2_000)
    drawn = random_points(gan, 2_000)
    latents, labels = drawn.latents[:, 0], drawn.classes.argmax(1)
    within = torch.cat([latents[labels == k] - latents[labels == k].mean(0) for k in (0, 1)])
    for direction in directions:
        unit = direction[0] / direction[0].norm()
        assert float(direction[0].norm()) == pytest.approx(float((within @ unit).std()), rel=0.05)
    if method == "ganspace":
        best = torch.linalg.svd(within, full_matrices=False).Vh[0]
        assert abs(float(best @ directions[0][0] / directions[0][0].norm())) > 0.99


def test_principal_components_are_those_of_the_whole_decomposition_without_global_random_numbers() -> None:
    from gantl_zoo.latent.ganspace import components

    values = torch.randn(300, 40, generator=torch.Generator().manual_seed(1)) * torch.linspace(3, 0.1, 40)
    state = torch.get_rng_state()
    vectors, shares, _ = components(values, 3, 0)
    assert torch.equal(torch.get_rng_state(), state)
    whole = torch.linalg.svd(values, full_matrices=False)
    torch.testing.assert_close((vectors @ whole.Vh[:3].T).abs(), torch.eye(3), atol=0.02, rtol=0)
    torch.testing.assert_close(shares, whole.S[:3].square() / values.square().sum(), rtol=1e-2, atol=0)


@pytest.mark.parametrize("method", ["slerp", "vp-lerp"])
def test_a_way_in_w_is_about_the_mean_of_w(style: gz.GAN, method: str) -> None:
    mean = style.generator.mapping.w_avg
    ends = points(style, [0, 1])
    way = gz.latent.interpolate(style, [0, 1], steps=2, method=method).tensor
    middle = METHODS[method](ends.latents[0] - mean, ends.latents[1] - mean, 0.5) + mean
    torch.testing.assert_close(way[1:2], style.decode(middle[None], mapped=True), atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(way[[0, 2]], style.generate(2), atol=1e-5, rtol=1e-4)
    corners = gz.latent.interpolation_grid(style, range(4), steps=2, method=method).tensor[[0, 2, 6, 8]]
    torch.testing.assert_close(corners, style.generate(4), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("classes", [0, 2])
def test_a_projection_does_not_depend_on_the_other_images(classes: int) -> None:
    gan = settled(stylegan2(num_classes=classes))
    images = gan.generate(3, labels=[0, 1, 1] if classes else None)
    labels = [0, 1, 1] if classes else None
    state = torch.get_rng_state()
    together = gz.latent.project(gan, images, labels=labels, space="z", **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    alone = gz.latent.project(gan, images[2:], labels=labels and labels[2:], space="z", **QUICK)
    torch.testing.assert_close(together.latents.tensor[2:], alone.latents.tensor, atol=1e-3, rtol=1e-3)
    other = gz.latent.project(gan, images[2:], labels=labels and labels[2:], space="z", **QUICK, seed=1)
    assert not torch.allclose(other.latents.tensor, alone.latents.tensor, atol=1e-2)


def test_the_noise_of_each_start_differs_and_that_of_each_image_does_not() -> None:
    noise = Noise(torch.tensor([0, 1, 0]), 5).like(torch.zeros(3, 8))
    assert torch.equal(noise[0], noise[2]) and not torch.equal(noise[0], noise[1])
    again = Noise(torch.tensor([1]), 5).like(torch.zeros(1, 8))
    assert torch.equal(again[0], noise[1])


def test_truncation_0_is_the_mean_image_and_below_it_lies_the_opposite(style: gz.GAN) -> None:
    mean = style.decode(style.generator.mapping.w_avg[None], mapped=True)
    images = style.generate(2, truncation=0)
    torch.testing.assert_close(images, mean.expand_as(images), atol=1e-5, rtol=1e-4)
    assert not torch.allclose(style.generate(1, truncation=-1), style.generate(1))
    assert gz.latent.truncation_sweep(style, [0], truncations=[-0.5, 0]).shape[:2] == (1, 2)
    with pytest.raises(gz.UsageError, match="truncation must be a finite number, not"):
        style.generate(1, truncation=float("inf"))
    plain = gz.build_gan("dcgan", generator_config=SMALL)
    with pytest.raises(gz.UsageError, match="> 0, since it scales the noise"):
        plain.generate(1, truncation=0)


def test_labels_of_intermediate_latents_are_an_error() -> None:
    gan = stylegan2(num_classes=3)
    latents = gan.map(torch.zeros(2, 8), [0, 1]).detach()
    for call in (lambda: gan.decode(latents, [0, 1], mapped=True), lambda: gan.synthesize(latents, 1)):
        with pytest.raises(gz.UsageError, match="contain the class, if it has classes: give no labels"):
            call()


def test_labels_without_classes_are_an_error(style: gz.GAN) -> None:
    with pytest.raises(gz.UsageError, match="unconditional"):
        gz.latent.side_by_side(style, style, [0], labels=3)
    with pytest.raises(gz.UsageError, match="unconditional"):
        gz.latent.realness(style, style.generate(1), 3)


def test_iterators_are_read_once_and_need_a_seed(style: gz.GAN) -> None:
    gan = stylegan2(num_classes=2)
    directions = gz.latent.find_directions(gan, count=2, samples=200)
    listed = gz.latent.effects(gan, directions, seeds=[0, 1], labels=[1, 0], distance="mse")
    once = gz.latent.effects(gan, directions, seeds=iter([0, 1]), labels=iter([1, 0]), distance="mse")
    assert listed == once
    sweep = gz.latent.truncation_sweep(gan, iter([0, 1]), truncations=iter([0.5, 1]), labels=iter([1, 0]))  # type: ignore[arg-type]
    assert sweep.shape[:2] == (2, 2)
    assert gz.latent.side_by_side(gan, gan, iter([0, 1]), labels=iter([1, 0])).shape[:2] == (2, 2)
    for call in (
        lambda: gz.latent.effects(gan, directions, seeds=[]),
        lambda: gz.latent.strip(gan, directions[0], []),
        lambda: gz.latent.side_by_side(gan, gan, []),
        lambda: gz.latent.ablate_blocks(gan, []),
        lambda: gz.latent.truncation_sweep(gan, []),
    ):
        with pytest.raises(gz.UsageError, match="at least one seed"):
            call()


def test_effects_are_those_of_truncated_images(style: gz.GAN) -> None:
    directions = gz.latent.find_directions(style, count=1, samples=200)
    row = gz.latent.effects(style, directions, distance="mse", seeds=[4], truncation=0.3)[0]
    ends = gz.latent.strip(style, directions[0], [4], strengths=(-2, 2), truncation=0.3)[0]
    assert row["change"] == pytest.approx(float((ends[0] - ends[1]).square().mean()))
    assert row["change"] != gz.latent.effects(style, directions, distance="mse", seeds=[4])[0]["change"]


def test_the_image_is_summed_in_float32_under_autocast(
    style: gz.GAN, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gantl_zoo.networks import stylegan2 as network

    enlarged: list[torch.Tensor] = []

    def recorded(*arguments: Any) -> torch.Tensor:
        enlarged.append(network_upsample(*arguments))
        return enlarged[-1]

    network_upsample = network.upsample
    monkeypatch.setattr(network, "upsample", recorded)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        style.generator(torch.randn(1, 8))
    assert len(enlarged) == 3 and {one.dtype for one in enlarged} == {torch.float32}


def test_a_file_of_another_model_is_noted(
    style: gz.GAN, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    style.name = "first"
    file = gz.latent.find_directions(style, count=1, samples=200).save(tmp_path / "d.safetensors")
    latents = gz.latent.project(style, style.generate(1), **QUICK).latents.save(tmp_path / "l.safetensors")
    own = style.save(tmp_path / "first")
    other = stylegan2()
    stranger = other.save(tmp_path / "other")
    other.about["lineage"] = {"base_model": "zoo/first"}
    child = other.save(tmp_path / "child")
    for model, noted in ((own, False), (child, False), (stranger, True)):
        for words in (("--direction", file), ("--latents", latents)):
            verb = ("sample", model, "--seeds", "0", *words, "--out", tmp_path / "x.png")
            code, _, error = run(capsys, *verb)
            assert code == 0 and ("note: " in error and "is of the model first" in error) == noted, error
