"""Directions against the truth: how many known factors each direction changes, for images with such factors.

A classifier for each factor is trained on the training images (`modes.py`). The share of samples whose
predicted value differs between the ends of a direction says how much it changes this factor. A good direction
changes one factor.

N samples, D directions, F factors.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from gantl_zoo.bench.cells import Row
from gantl_zoo.bench.modes import classifier, share_right
from gantl_zoo.data import ImageData, load
from gantl_zoo.data.factors import Factors
from gantl_zoo.errors import DataError
from gantl_zoo.latent.directions import Directions, find_directions
from gantl_zoo.latent.effects import strip
from gantl_zoo.latent.project import Projection, project
from gantl_zoo.metrics.extract import Images, extract
from gantl_zoo.metrics.extractors import ClassifierFeatures
from gantl_zoo.model.gan import GAN

METHODS = ("sefa", "ganspace")
SEEDS, STRENGTH = 200, 2.0  # samples of a direction; standard deviations to both sides
MOVED = 0.25  # share of samples whose value changes, from which on a direction changes a factor
PROJECTED = 100  # held-out images, and generated ones, that are projected


@dataclass(frozen=True)
class FactorClassifiers:
    """A classifier for each factor, its accuracy on the held-out images, and these images."""

    factors: tuple[str, ...]
    classifiers: tuple[ClassifierFeatures, ...]
    accuracy: dict[str, float]
    held_out: ImageData


def factor_classifiers(
    data: str | Path,
    table: str | Path,
    factors: Sequence[str] = (),
    *,
    out: str | Path,
    image_size: int | None = None,
    source: str = "",
    quiet: bool = True,
) -> FactorClassifiers:
    """Train a classifier for each of the `factors` in `table`, by default for all, or load those in `out`.

    The arguments are those of `mode_counter`, but combinations are not counted, so there may be any number of
    factors. Raises `DataError`, `UnknownNameError`.
    """
    known, place = Factors.read(table), Path(data).expanduser()
    train, test = (load(place, split=split, image_size=image_size) for split in ("train", "test"))
    names = tuple(known.names[known.number(factor)] for factor in factors or known.names)
    classifiers: list[ClassifierFeatures] = []
    accuracy: dict[str, float] = {}
    for factor in names:
        mine, others = (known.labelled(images, place, [factor]) for images in (train, test))
        name = factor.replace("#", "-")  # a folder's name
        model = classifier(mine, name, Path(out), source, quiet)
        classifiers.append(ClassifierFeatures(factor, model.backbone))
        accuracy[factor] = share_right(
            extract(classifiers[-1], Images.part(others, len(others))).logits, others
        )
    return FactorClassifiers(names, tuple(classifiers), accuracy, test)


def predicted(classifiers: Sequence[ClassifierFeatures], images: Tensor) -> Tensor:
    """The predicted value of each factor (N, F)."""
    columns = []
    for one in classifiers:
        logits = one(images)[1]
        assert logits is not None  # it is a classifier
        columns.append(logits.argmax(1).cpu())
    return torch.stack(columns, 1)


def factors_changed(
    gan: GAN,
    directions: Directions,
    classifiers: Sequence[ClassifierFeatures],
    *,
    seeds: int = SEEDS,
    strength: float = STRENGTH,
) -> Tensor:
    """The share (D, F) of samples whose predicted value differs between the ends of a direction."""
    rows = []
    for direction in directions:
        ends = strip(gan, direction, range(seeds), strengths=(-strength, strength)).unbind(1)
        before, after = (predicted(classifiers, images) for images in ends)
        rows.append((before != after).float().mean(0))
    return torch.stack(rows)


def direction_scores(
    gan: GAN, truth: FactorClassifiers, *, count: int = 10, seeds: int = SEEDS, strength: float = STRENGTH
) -> list[Row]:
    """A row for each of the first `count` directions of each method, by `factors_changed`.

    "shares" are those of `factors_changed`, "moved" is the number of factors of at least a quarter, and
    "purity" is the largest share divided by the sum: 1 if a direction changes one factor only. Raises
    `DataError` for a GAN of other images.
    """
    if gan.image_shape != truth.held_out.shape:
        raise DataError(
            f"{gan.name} makes images {gan.image_shape} (channels, height, width), but those of "
            f"{truth.held_out.name} are {truth.held_out.shape}"
        )
    rows: list[Row] = []
    how: dict[str, Any] = {"seeds": seeds, "strength": strength}
    for method in METHODS:
        directions = find_directions(gan, method, count=count)
        changed = factors_changed(gan, directions, truth.classifiers, **how)
        for number, shares in enumerate(changed):
            named = dict(zip(truth.factors, shares.tolist(), strict=True))
            moved, total = int((shares >= MOVED).sum()), float(shares.sum())
            purity = float(shares.max()) / total if total else 0.0
            row = {"method": method, "direction": number, "shares": named, **how}
            rows.append(row | {"moved": moved, "purity": purity})
    return rows


def inversion(gan: GAN, held_out: ImageData, *, count: int = PROJECTED, **settings: Any) -> Row:
    """Residuals of `count` held-out images and of as many generated ones: means of each column.

    `settings` are those of `project`.
    """
    seeds = range(1_000_000, 1_000_000 + min(count, len(held_out)))
    images = {"held-out": held_out.images[:count], "generated": gan.generate(seeds=seeds)}
    return {name: means(project(gan, each, **settings)) for name, each in images.items()}


def means(projection: Projection) -> dict[str, float]:
    """The mean of each residual, and the seconds for each image."""
    names = projection.residuals[0]
    mean = {
        name: sum(row[name] for row in projection.residuals) / len(projection.residuals) for name in names
    }
    return mean | {"seconds": projection.seconds / len(projection.residuals)}


def report(
    name: str, truth: FactorClassifiers, rows: Sequence[Row], residuals: Mapping[str, Mapping[str, float]]
) -> str:
    """The report as Markdown: a table of directions and one of inversions. `rows` are at least one."""
    seeds, strength = rows[0]["seeds"], rows[0]["strength"]
    factors = truth.factors
    short = {factor: re.sub(r"^\d+#\d*", "", factor) for factor in factors}  # 001#01fur, as tables have them
    lines = [
        f"| method | direction | {' | '.join(short.values())} | factors moved | purity |",
        "|---|---:|" + "---:|" * (len(factors) + 2),
    ]
    for row in rows:
        shares = " | ".join(f"{100 * row['shares'][factor]:.0f} %" for factor in factors)
        lines.append(
            f"| `{row['method']}` | d{row['direction']} | {shares} | {row['moved']} | {row['purity']:.2f} |"
        )
    columns = list(next(iter(residuals.values())))
    inverted = [f"| images | {' | '.join(columns)} |", "|---|" + "---:|" * len(columns)]
    inverted += [
        f"| {kind} | {' | '.join(f'{row[column]:.4g}' for column in columns)} |"
        for kind, row in residuals.items()
    ]
    accuracy = ", ".join(f"{short[factor]} {100 * share:.1f} %" for factor, share in truth.accuracy.items())
    notes = [
        f"Directions of {name} against the factors of {truth.held_out.name}. A cell is the share of {seeds} "
        f"samples whose factor, by a classifier, differs between the strengths −{strength:g} and "
        f"{strength:g}. A factor moves if that share is at least {100 * MOVED:.0f} %. Purity is the largest "
        "share divided by the sum.",
        f"Accuracy of the classifiers on held-out images: {accuracy}.",
    ]
    parts = ["# Directions against known factors", *notes, "\n".join(lines), "## Inversion"]
    return "\n\n".join([*parts, "Means over the projected images.", "\n".join(inverted)]) + "\n"
