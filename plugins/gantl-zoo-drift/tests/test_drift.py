"""The drifting field against its properties, and the loss used by its name as users do."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from gantl_zoo_drift.field import drifting_field, drifting_loss
from helpers import moved, run, state
from torch import Tensor

import gantl_zoo as gz
from gantl_zoo.data import ImageData
from gantl_zoo.metrics.shared import stem_digest
from gantl_zoo.registry.plugins import installed

TEMPERATURES = (0.05, 0.2, 1.0)
QUICK: dict[str, Any] = {"steps": 3, "batch": 4, "precision": "fp32", "quiet": True}


def points(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


@pytest.fixture
def digits() -> ImageData:
    return ImageData(torch.randint(0, 255, (20, 1, 28, 28), dtype=torch.uint8), name="noise")


def test_the_name_is_there_and_says_whose_it_is() -> None:
    (mine,) = [plugin for plugin in installed() if plugin.name == "gantl-zoo-drift"]
    assert [entry.name for entry in mine.entries] == ["drift"]
    assert gz.losses.info("drift").owner == "gantl-zoo-drift"


def test_the_field_is_antisymmetric() -> None:
    samples, real, others = points(3, 5, 4), points(3, 6, 4, seed=1), points(3, 7, 4, seed=2)
    for tau in TEMPERATURES:
        there = drifting_field(samples, real, others, tau)
        assert there.shape == samples.shape and there.abs().min() > 0
        torch.testing.assert_close(there, -drifting_field(samples, others, real, tau))
        same = drifting_field(samples, real, real.clone(), tau)
        torch.testing.assert_close(same, torch.zeros_like(same))


def test_the_field_is_its_formula() -> None:
    """V(x) = Σ a(x, y⁺) (y⁺ - x) - Σ a(x, y⁻) (y⁻ - x), computed with loops."""
    (samples,), (real,), (others,) = points(1, 3, 2), points(1, 2, 2, seed=1), points(1, 4, 2, seed=2)
    field, tau = torch.zeros_like(samples), 0.5
    for sign, every in ((1, real), (-1, others)):
        kernel = [[math.exp(-float((x - y).norm()) / tau) for y in every] for x in samples]
        columns = [sum(column) for column in zip(*kernel, strict=True)]
        for i, x in enumerate(samples):
            a = [k / math.sqrt(c) for k, c in zip(kernel[i], columns, strict=True)]
            for one, y in zip(a, every, strict=True):
                field[i] += sign * one / sum(a) * (y - x)
    torch.testing.assert_close(drifting_field(samples[None], real[None], others[None], tau)[0], field)


def test_no_sample_repels_itself() -> None:
    """The two samples repel each other along the second axis; one real image between them attracts both."""
    samples, real = torch.tensor([[[0.0, 0.1], [0.0, -0.1]]]), torch.tensor([[[0.0, 0.0]]])
    own = drifting_field(samples, real, samples, 0.01)
    torch.testing.assert_close(own, torch.tensor([[[0.0, 0.1], [0.0, -0.1]]]))
    copies = drifting_field(samples, real, samples.clone(), 0.01)
    torch.testing.assert_close(copies, -samples, atol=1e-6, rtol=0)  # a copy at the same place has all weight


def test_the_gradient_moves_samples_along_the_field() -> None:
    samples, real = points(6, 2, 3).requires_grad_(), points(8, 2, 3, seed=1)
    (gradient,) = torch.autograd.grad(drifting_loss(samples, real, TEMPERATURES), samples)
    first, second = samples.detach().transpose(0, 1), real.transpose(0, 1)
    scale = torch.cdist(first, second).mean()
    first, second = first / scale, second / scale
    field = torch.stack([drifting_field(first, second, first, tau) for tau in TEMPERATURES]).mean(0)
    torch.testing.assert_close(gradient, -2 * field.transpose(0, 1) / (12 * scale))


def test_samples_drift_to_the_data() -> None:
    """Free points in the plane, at first all in one place, come to lie on both clusters of the data."""
    torch.manual_seed(0)
    real = torch.cat([torch.randn(64, 1, 2) * 0.1 + centre for centre in (-2.0, 2.0)])
    samples = (torch.randn(64, 1, 2) * 0.1).requires_grad_()
    optimizer = torch.optim.Adam([samples], lr=0.05)
    losses = []
    for _ in range(300):
        optimizer.zero_grad()
        loss = drifting_loss(samples, real, TEMPERATURES)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(float(loss.detach()))
    nearest = torch.cdist(samples[:, 0], real[:, 0]).min(1).values
    assert nearest.mean() < 0.1
    assert 24 <= int((samples[:, 0, 0] > 0).sum()) <= 40, "both clusters are reached, about equally often"
    assert losses[-1] < 0.1 * losses[0]


def test_features_are_places_and_statistics_of_all_levels() -> None:
    loss = gz.losses.build("drift", backbone="cnn-mnist")
    (network,) = loss.networks((1, 28, 28))
    assert not any(p.requires_grad for p in network.parameters())
    features = loss.features(torch.rand(2, 1, 28, 28))
    sizes = [tuple(one.shape[1:]) for one in features]
    assert sizes == [(64, 1), (2, 1), (196, 32), (2, 32), (49, 64), (2, 64), (16, 128), (2, 128)]
    torch.testing.assert_close(features[3][:, 0], features[2].mean(1))
    assert all(one.dtype == torch.float32 for one in features)


def test_training_changes_the_generator_only(digits: ImageData, tmp_path: Path) -> None:
    source = gz.load_model("dcgan-mnist")
    assert isinstance(source, gz.GAN)
    before = {role: state(getattr(source, role)) for role in ("generator", "discriminator")}
    trained = gz.transfer(
        source, data=digits, loss="drift", watch_every=1, log_every=1, out=tmp_path, metrics="none", **QUICK
    )
    assert moved(before["generator"], trained.generator) and not moved(
        before["discriminator"], trained.discriminator
    )
    (folder,) = tmp_path.iterdir()
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()][1:]
    assert all({"generator", "diversity"} <= row.keys() for row in rows)
    assert not any({"discriminator", "saturation", "overfitting"} & row.keys() for row in rows)
    log = (folder / "log.txt").read_text()
    assert "saturation" not in log and "the loss drift trains no discriminator" in log
    assert "discriminator 0 of" in log


def test_the_saved_model_is_an_ordinary_one(
    digits: ImageData, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = {"generator_config": {"width": 4}, "discriminator_config": {"width": 4}, "metrics": "none"}
    trained = gz.train("dcgan", data=digits, loss="drift", out=tmp_path, **QUICK | settings)
    folder = trained.save(tmp_path / "model")
    monkeypatch.setenv("GANTL_ZOO_DISABLE_PLUGINS", "all")
    again = gz.load_model(folder)
    assert isinstance(again, gz.GAN)
    assert again.config()["requires"] == {} and torch.equal(again.generate(2), trained.generate(2))


def test_metrics_avoid_the_features_of_the_loss() -> None:
    loss = gz.losses.build("drift")
    (own,) = loss.networks((1, 28, 28))
    assert stem_digest(own) == stem_digest(gz.load_model("cnn-mnist").backbone)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"temperatures": []}, "must be positive"),
        ({"temperatures": [0.1, 0.0]}, "must be positive"),
        ({"backbone": "cnn-mnits"}, "did you mean cnn-mnist"),
        ({"backbone": "cnn"}, "architecture without weights"),
        ({"backbone": "dcgan-mnist"}, "is a GAN"),
    ],
)
def test_wrong_arguments_are_refused_before_a_run(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(gz.ZooError, match=message):
        gz.Recipe(loss="drift", loss_config=settings)


def test_a_backbone_for_other_channels_is_refused_before_a_run(tmp_path: Path) -> None:
    colour = ImageData(torch.zeros(4, 3, 32, 32, dtype=torch.uint8), name="black")
    with pytest.raises(gz.UsageError, match=r"cnn-mnist takes 1 channel\(s\), these images have 3"):
        gz.train("dcgan", data=colour, loss="drift", loss_config={"backbone": "cnn-mnist"}, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_command_line_takes_the_loss_and_its_arguments(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    words = (
        "transfer dcgan-mnist --data digits --loss drift --loss-arg backbone=cnn-mnist --steps 1 --batch 4"
    )
    code, out, err = run(capsys, *words.split(), "--metrics", "none", "--out", tmp_path, "--shots", 8)
    assert code == 0 and out and "the loss drift trains no discriminator" in err
