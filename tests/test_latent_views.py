"""Truncation with measured statistics, ablated blocks, realness, neighbours, a source beside its target."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from helpers import SMALL, run, state
from test_latent import mapped_gan
from torch import nn

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.latent.ablation import coarse
from gantl_zoo.networks.base import blocks


@pytest.fixture
def settled() -> gz.GAN:
    """A GAN whose running statistics fit its random latents."""
    gan = gz.build_gan("dcgan", generator_config=SMALL, discriminator_config={"width": 4}, name="settled")
    for name, tensor in gan.generator.named_parameters():
        if "conv" in name or "linear" in name:
            nn.init.normal_(tensor, 0.0, 0.2)
    gan.generator.train()
    with torch.no_grad():
        for _ in range(60):
            gan.generator(torch.randn(64, 8))
    gan.generator.eval()
    return gan


def test_statistics_are_measured_at_the_truncation_in_a_copy(settled: gz.GAN) -> None:
    before = state(settled.generator)
    short = gz.latent.standing_statistics(settled, 0.3, batches=4)
    assert all(torch.equal(before[name], tensor) for name, tensor in settled.generator.state_dict().items())
    seen = []
    inner: Any = short.generator.blocks[1].norm
    inner.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].var((0, 2, 3))))
    short.decode(0.3 * torch.randn(256, 8), batch_size=256)
    torch.testing.assert_close(inner.running_var, seen[0], rtol=0.2, atol=0.0)
    assert (settled.generator.blocks[1].norm.running_var > inner.running_var).all()
    first = [model.generator.blocks[0].norm.running_var for model in (settled, short)]
    assert torch.equal(*first), "the first layer keeps its statistics: else nothing would be truncated"


def test_a_sweep_has_a_column_for_each_truncation(settled: gz.GAN) -> None:
    images = gz.latent.truncation_sweep(settled, [3, 4], truncations=[0.4, 1.0])
    assert images.shape == (2, 2, 1, 28, 28)
    torch.testing.assert_close(images[:, 1], settled.generate(seeds=[3, 4]))
    running = gz.latent.truncation_sweep(settled, [3, 4], truncations=[0.4], standing=False)
    torch.testing.assert_close(running[:, 0], settled.generate(seeds=[3, 4], truncation=0.4))
    spread = [float(one.var((1, 2, 3)).mean()) for one in (images[:, 0], running[:, 0])]
    assert spread[0] > spread[1], "measured statistics keep the contrast"
    gan = mapped_gan()
    plain = gz.latent.truncation_sweep(gan, [1], truncations=[0.5])
    torch.testing.assert_close(plain[:, 0], gan.generate(seeds=[1], truncation=0.5))


@pytest.mark.parametrize("values", [[], [0.0], [float("nan")], [-1.0]])
def test_truncations_that_cant_be_used(gan: gz.GAN, values: list[float]) -> None:
    with pytest.raises(gz.UsageError, match="truncation"):
        gz.latent.truncation_sweep(gan, [0], truncations=values)


def test_an_ablated_block_loses_its_own_details(settled: gz.GAN) -> None:
    found = gz.latent.ablate_blocks(settled, [0, 1])
    whole = settled.generate(seeds=[0, 1])
    assert sorted(found) == list(range(len(blocks(settled.generator))))
    last = found[max(found)]
    torch.testing.assert_close(last, coarse(whole, whole.mean(0)))
    assert torch.equal(last[..., ::2, ::2], last[..., 1::2, 1::2]) and not torch.equal(last, whole)
    assert all(not torch.allclose(images, whole) for images in found.values())


def test_features_without_a_place_become_their_mean() -> None:
    features = torch.randn(5, 3)
    mean = torch.randn(3)
    assert torch.equal(coarse(features, mean), mean.expand(5, 3))
    assert coarse(torch.randn(2, 3, 7, 7), torch.zeros(3, 7, 7)).shape == (2, 3, 7, 7)


def test_blocks_that_moved_are_named(settled: gz.GAN, tmp_path: Path) -> None:
    target = gz.GAN.from_pretrained(settled.save(tmp_path / "model"))
    rows = gz.latent.block_movement(settled, target, samples=4)
    count = sum(len(blocks(network)) for network in (settled.generator, settled.discriminator))
    assert len(rows) == count and all(row["weights"] == row["activations"] == 0 for row in rows)
    with torch.no_grad():
        for parameter in target.generator.blocks[1].parameters():
            parameter.mul_(1.5)
    rows = [r for r in gz.latent.block_movement(settled, target, samples=4) if r["network"] == "generator"]
    assert [round(row["weights"], 3) for row in rows] == [0, 0.5, 0, 0][: len(rows)]
    assert rows[0]["activations"] == 0 and min(row["activations"] for row in rows[1:]) > 0.05
    other = gz.build_gan("dcgan", generator_config={**SMALL, "width": 8})
    with pytest.raises(gz.UsageError, match="different tensors"):
        gz.latent.block_movement(settled, other)


def test_realness_is_the_discriminators_logit(gan: gz.GAN, images: ImageData) -> None:
    logits = gz.latent.realness(gan, images.images)
    with torch.no_grad():
        torch.testing.assert_close(logits, gan.discriminator(images.images.float() / 127.5 - 1))
    gan.discriminator = None
    with pytest.raises(gz.UsageError, match="without its discriminator"):
        gz.latent.realness(gan, images.images)


def test_a_copy_is_its_own_nearest_training_image(images: ImageData) -> None:
    distances, index = gz.latent.nearest_training(images.images[[7, 2]], images, k=2)
    assert index[:, 0].tolist() == [7, 2] and distances[:, 0].abs().max() < 1e-5
    assert (distances[:, 1] > distances[:, 0]).all()
    with pytest.raises(gz.UsageError, match="k must be from 1 to 40"):
        gz.latent.nearest_training(images.images, images, k=41)


def test_the_same_seeds_side_by_side_in_one_size(gan: gz.GAN) -> None:
    other = gz.build_gan("dcgan", generator_config={**SMALL, "image_size": 56, "channels": 3}, name="large")
    rows = gz.latent.side_by_side(gan, other, [3, 5])
    assert rows.shape == (2, 2, 3, 56, 56)
    torch.testing.assert_close(rows[1], other.generate(seeds=[3, 5]))
    torch.testing.assert_close(rows[0][:, :1, ::2, ::2], gan.generate(seeds=[3, 5]))
    longer = gz.build_gan("dcgan", generator_config={"width": 4, "latent_dim": 9})
    with pytest.raises(gz.UsageError, match="their seeds have nothing in common"):
        gz.latent.side_by_side(gan, longer, [0])


def test_verbs_draw_their_pictures(
    model: Path, photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "x.png"
    for words in (
        ("truncation", model, "--seeds", "0-1", "--values", "0.5,1"),
        ("blocks", model, "--seeds", "0-1"),
        ("realness", model, "--count", 6, "--shown", 2),
        ("realness", model, "--count", 6, "--shown", 2, "--data", photos),
        ("neighbours", model, "--data", photos, "--seeds", "0-1", "--extractor", "pixels"),
        ("compare", model, "--source", model, "--seeds", "0-1"),
    ):
        code, text, error = run(capsys, "latent", *words, "--out", out)
        assert code == 0 and text.splitlines()[-1] == str(out), error
        out.unlink()


@pytest.mark.parametrize(
    ("words", "text"),
    [
        (("truncation", "--values", "0.5,x"), "--values '0.5,x'"),
        (("realness", "--shown", 9, "--count", 10), "--shown must be from 1 to half"),
        (("realness", "--data", "mnist", "--class", 1), "--class is for samples"),
        (("compare",), "was not fine-tuned from another model"),
        (("turncation",), "did you mean truncation"),
    ],
)
def test_words_that_cant_be_used(
    words: tuple[str, ...], text: str, model: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, "latent", words[0], model, *words[1:])
    assert code == 2 and text in error
