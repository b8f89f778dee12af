"""Directions scored against known factors, with a generator whose factors are planted in its latent."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from test_modes import FAST, shapes, small
from torch import Tensor, nn

import gantl_zoo as gz
from gantl_zoo.bench import factors as bench
from gantl_zoo.bench.factors import FactorClassifiers, direction_scores, factor_classifiers, inversion, report
from gantl_zoo.data import ImageData

__all__ = ["FAST", "shapes", "small"]  # fixtures


class Painter(nn.Module):
    """The first number is the brightness of the upper half, the second that of the lower half, less so."""

    latent_dim, num_classes, image_shape = 4, 0, (1, 8, 8)

    def __init__(self) -> None:
        super().__init__()
        weight = torch.zeros(64, 4)
        weight[:40, 0] = 1.0
        weight[40:, 1] = 1.0
        self.linear = nn.Linear(4, 64, bias=False)
        self.linear.weight = nn.Parameter(weight)
        self.blocks = [self.linear]

    def forward(self, noise: Tensor) -> Tensor:
        return self.linear(noise).tanh().view(-1, 1, 8, 8)


class Bright:
    """A stand-in for a classifier: whether a row of the image is bright."""

    def __init__(self, row: int) -> None:
        self.row = row

    def __call__(self, images: Tensor) -> tuple[None, Tensor]:
        level = images[:, 0, self.row].mean(1)
        return None, torch.stack([-level, level], 1)


@pytest.fixture
def painter() -> gz.GAN:
    parts: dict[str, Any] = {"generator": {"name": "dcgan", "config": {}}}
    return gz.GAN(Painter().eval(), None, parts, name="painter")


def truth(*rows: int) -> FactorClassifiers:
    held_out = ImageData(torch.zeros(6, 1, 8, 8, dtype=torch.uint8), name="halves")
    classifiers: Any = tuple(map(Bright, rows))
    names = tuple(f"row {row}" for row in rows)
    return FactorClassifiers(names, classifiers, dict.fromkeys(names, 1.0), held_out)


def test_a_pure_direction_moves_one_factor(painter: gz.GAN) -> None:
    rows = direction_scores(painter, truth(0, 7), count=2, seeds=64, strength=4.0)
    first, second = (row for row in rows if row["method"] == "sefa")
    assert first["moved"] == second["moved"] == 1 and first["purity"] == second["purity"] == 1
    assert first["shares"]["row 0"] > 0.9 and first["shares"]["row 7"] == 0
    assert second["shares"]["row 7"] > 0.9 and second["shares"]["row 0"] == 0
    assert [row["method"] for row in rows] == ["sefa"] * 2 + ["ganspace"] * 2


def test_a_mixed_direction_is_not_pure(painter: gz.GAN) -> None:
    with torch.no_grad():
        painter.generator.linear.weight[40:, 1], painter.generator.linear.weight[40:, 0] = 0, 1
    rows = direction_scores(painter, truth(0, 7), count=1, seeds=64, strength=4.0)
    assert rows[0]["moved"] == 2 and rows[0]["purity"] == pytest.approx(0.5)


def test_images_of_another_shape_are_an_error(gan: gz.GAN) -> None:
    with pytest.raises(gz.DataError, match="makes images"):
        direction_scores(gan, truth(0))


def test_generated_images_invert_better_than_others(painter: gz.GAN) -> None:
    pixels = torch.randint(0, 255, (4, 1, 8, 8), dtype=torch.uint8)
    settings: dict[str, Any] = {"steps": 60, "starts": 1, "tries": 20, "distance": "mse"}
    found = inversion(painter, ImageData(pixels, name="noise"), count=4, **settings)
    assert found["generated"]["mse"] < found["held-out"]["mse"] / 10
    assert set(found["generated"]) >= {"mse", "radius", "seconds"}


def test_the_report_has_both_tables(painter: gz.GAN) -> None:
    there = truth(0, 7)
    rows = direction_scores(painter, there, count=1, seeds=8)
    text = report("painter", there, rows, {"held-out": {"mse": 0.5}, "generated": {"mse": 0.25}})
    assert "| `sefa` | d0 | " in text and "| `ganspace` | d0 | " in text and "| held-out | 0.5 |" in text
    assert "row 0 100.0 %" in text and "share of 8 samples" in text and "−2 and 2" in text
    weak = direction_scores(painter, there, count=1, seeds=4, strength=0.5)
    text = report("painter", there, weak, {"held-out": {"mse": 0.5}})
    assert "share of 4 samples" in text and "−0.5 and 0.5" in text


def test_a_classifier_for_each_factor_is_trained_once(
    shapes: Path, small: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table, out = shapes.parent / "shapes.tsv", tmp_path / "out"
    found = factor_classifiers(shapes, table, out=out)
    assert found.factors == ("0#colour", "1#place") and min(found.accuracy.values()) > 0.9

    def refuse(*arguments: Any, **settings: Any) -> Any:
        raise AssertionError("trained again")

    monkeypatch.setattr("gantl_zoo.bench.modes.classify_train", refuse)
    again = factor_classifiers(shapes, table, ["place"], out=out)
    assert again.factors == ("1#place",)
    assert bench.predicted(again.classifiers, again.held_out.images).shape == (len(again.held_out), 1)
