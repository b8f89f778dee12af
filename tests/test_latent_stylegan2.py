"""Latent tools with an intermediate latent space: those of a small StyleGAN2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import run
from test_stylegan2_training import stylegan2
from torch import nn

import gantl_zoo as gz
from gantl_zoo.latent.project import deviation
from gantl_zoo.latent.space import random_points
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
    words = ("latent", "compare", models[1], "--source", models[0], "--seeds", "0", "--out", tmp_path / "x.png")
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


def test_a_model_in_bfloat16_has_directions_and_projections(style: gz.GAN) -> None:
    half = style.to(torch.bfloat16)
    directions = gz.latent.find_directions(half, count=2)
    assert directions.fits(half) and directions.vectors.isfinite().all()
    assert len(gz.latent.effects(half, directions, distance="mse", seeds=range(2))) == 2
    found = gz.latent.project(half, half.generate(1), **QUICK)
    assert found.latents.about["digest"] == directions.about["digest"]
