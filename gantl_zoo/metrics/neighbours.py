"""Nearest neighbours between sets of features (N, D), (M, D), in blocks: never holds a full N×M matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.errors import DataError

ROWS, COLUMNS = 2048, 8192
NEAREST = 5  # k of density and coverage (Naeem et al. 2020, section 4.2)
PARTS = 10  # parts of the samples
HELD_OUT = 50  # the fewest held-out images for precision and recall
MANIFOLD = 3  # k of precision and recall (Kynkäänniemi et al. 2019, section 3)


def squares(first: Tensor, second: Tensor) -> Tensor:
    """Squared distances of all pairs, shape (n, m)."""
    norms = first.square().sum(1)[:, None] + second.square().sum(1)[None, :]
    return torch.addmm(norms, first, second.T, alpha=-2).clamp_(min=0)


def centred(*sets: Tensor) -> list[Tensor]:
    """Subtract the first set's mean from all sets, as float32: `squares` is more exact for small norms."""
    mean = sets[0].double().mean(0)
    return [(features - mean).float() for features in sets]


def nearest(queries: Tensor, references: Tensor, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of the nearest references of each query.

    `same`: queries and references are one set, and an image is not its own neighbour.
    """
    queries, references = centred(queries, references)
    chunks = [
        _nearest(part, references, k, start * ROWS if same else None)
        for start, part in enumerate(torch.split(queries, ROWS))
    ]
    distances, index = (torch.cat(parts) for parts in zip(*chunks, strict=True))
    return distances, index


def _nearest(queries: Tensor, references: Tensor, k: int, own: int | None) -> tuple[Tensor, Tensor]:
    """`nearest` for one block of queries; `own` is the index of the first query in the references."""
    best = torch.full((len(queries), k), torch.inf)
    place = torch.zeros(len(queries), k, dtype=torch.long)
    for start in range(0, len(references), COLUMNS):
        distances = squares(queries, references[start : start + COLUMNS])
        if own is not None:
            rows = torch.arange(len(queries))
            inside = (rows + own >= start) & (rows + own < start + distances.shape[1])
            distances[rows[inside], (rows + own - start)[inside]] = torch.inf
        value, index = distances.topk(min(k, distances.shape[1]), largest=False)
        best, order = torch.cat([best, value], 1).topk(k, largest=False)
        place = torch.cat([place, index + start], 1).gather(1, order)
    exact = (queries[:, None, :].double() - references[place].double()).norm(
        dim=2
    )  # float64: the distance of an exact copy is 0
    return exact, place


def check_manifolds(real: int, fake: int) -> None:
    """Raise `DataError` for too few images."""
    if real < HELD_OUT or fake <= NEAREST:
        raise DataError(
            f"precision, recall, density and coverage need at least {HELD_OUT} held-out images and "
            f"{NEAREST + 1} samples, not {real} and {fake}"
        )


def supports(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Complement precision (Khayatkhoei & AbdAlmageed 2023, https://arxiv.org/abs/2306.09618, section 5) and
    recall (Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991), both with the balls of samples.

    The ball of a sample extends to its third-nearest sample. complement_precision: the share of samples with
    a real image in their ball. recall: the share of real images in the ball of a sample. Repeated samples
    have balls without extent, so they count as nothing. Both depend on the numbers of images, so samples are
    compared in parts of as many as there are real images: the mean of at most 10 parts.
    """
    size = min(len(real), len(fake))
    parts = [part for part in torch.split(fake[: PARTS * size], size) if len(part) == size]
    shares = [_supports(real[:size], part) for part in parts]
    return {name: sum(one[name] for one in shares) / len(shares) for name in shares[0]}


def _supports(real: Tensor, fake: Tensor) -> dict[str, float]:
    """`supports` for two sets of the same size."""
    real, fake = centred(real, fake)
    radii = nearest(fake, fake, MANIFOLD, same=True)[0][:, -1].square().float()
    holds, inside = torch.zeros(len(fake), dtype=torch.bool), []
    for part in torch.split(real, ROWS):
        hit = torch.zeros(len(part), dtype=torch.bool)
        for start in range(0, len(fake), COLUMNS):
            columns = slice(start, start + COLUMNS)
            within = squares(part, fake[columns]) <= radii[columns]
            holds[columns] |= within.any(0)
            hit |= within.any(1)
        inside.append(hit)
    return {
        "complement_precision": float(holds.float().mean()),
        "recall": float(torch.cat(inside).float().mean()),
    }


def manifolds(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991), density and
    coverage (Naeem et al. 2020, https://arxiv.org/abs/2002.09797, equations 4 and 5).

    The ball of an image extends to its k-th nearest neighbour in its own set. precision: the share of samples
    inside the ball of a real image. recall: the share of real images inside the ball of a sample. density:
    the mean number of real balls around a sample, divided by k. coverage: the share of real balls with a
    sample. Raises `DataError` for fewer than 6 images in a set.
    """
    check_manifolds(len(real), len(fake))
    real, fake = centred(real, fake)
    real_radii, fake_radii = (
        nearest(side, side, NEAREST, same=True)[0].square().float() for side in (real, fake)
    )
    inside = torch.zeros(len(fake), dtype=torch.bool)
    balls = torch.zeros(len(fake), dtype=torch.long)
    known, covered = [], []
    for start in range(0, len(real), ROWS):
        rows = slice(start, start + ROWS)
        hit = torch.zeros(len(real[rows]), dtype=torch.bool)
        least = torch.full((len(real[rows]),), torch.inf)
        for left in range(0, len(fake), COLUMNS):
            columns = slice(left, left + COLUMNS)
            distances = squares(real[rows], fake[columns])
            inside[columns] |= (distances <= real_radii[rows, MANIFOLD - 1, None]).any(0)
            balls[columns] += (distances <= real_radii[rows, NEAREST - 1, None]).sum(0)
            hit |= (distances <= fake_radii[columns, MANIFOLD - 1]).any(1)
            least = torch.minimum(least, distances.amin(1))
        known.append(hit)
        covered.append(least <= real_radii[rows, NEAREST - 1])
    return {
        "precision": float(inside.float().mean()),
        "recall": float(torch.cat(known).float().mean()),
        "density": float(balls.double().mean()) / NEAREST,
        "coverage": float(torch.cat(covered).float().mean()),
    }
