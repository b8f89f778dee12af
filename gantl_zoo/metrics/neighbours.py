"""Nearest neighbours between sets of features (N, D), (M, D), block by block: no N×M matrix is ever whole."""

from __future__ import annotations

import torch
from torch import Tensor

from gantl_zoo.errors import DataError

ROWS, COLUMNS = 2048, 8192
NEAREST = 5  # k of density and coverage (Naeem et al. 2020, section 4.2)
MANIFOLD = 3  # k of precision and recall (Kynkäänniemi et al. 2019, section 3)


def squares(first: Tensor, second: Tensor) -> Tensor:
    """Squared distances of all pairs, (n, m)."""
    norms = first.square().sum(1)[:, None] + second.square().sum(1)[None, :]
    return torch.addmm(norms, first, second.T, alpha=-2).clamp_(min=0)


def centred(*sets: Tensor) -> list[Tensor]:
    """All moved by the first set's mean, in float32: small norms lose fewer digits in `squares`."""
    mean = sets[0].double().mean(0)
    return [(features - mean).float() for features in sets]


def nearest(queries: Tensor, references: Tensor, k: int = 1, *, same: bool = False) -> tuple[Tensor, Tensor]:
    """Distances (N, k), ascending, and indices (N, k) of each query's nearest references.

    `same`: both are one set, and no image counts as its own neighbour.
    """
    queries, references = centred(queries, references)
    found = [
        _nearest(part, references, k, start * ROWS if same else None)
        for start, part in enumerate(torch.split(queries, ROWS))
    ]
    distances, index = (torch.cat(parts) for parts in zip(*found, strict=True))
    return distances, index


def _nearest(queries: Tensor, references: Tensor, k: int, own: int | None) -> tuple[Tensor, Tensor]:
    """The same for one block of queries; `own` is the first one's place among the references."""
    best = torch.full((len(queries), k), torch.inf)
    place = torch.zeros(len(queries), k, dtype=torch.long)
    for start in range(0, len(references), COLUMNS):
        found = squares(queries, references[start : start + COLUMNS])
        if own is not None:
            rows = torch.arange(len(queries))
            inside = (rows + own >= start) & (rows + own < start + found.shape[1])
            found[rows[inside], (rows + own - start)[inside]] = torch.inf
        value, index = found.topk(min(k, found.shape[1]), largest=False)
        best, order = torch.cat([best, value], 1).topk(k, largest=False)
        place = torch.cat([place, index + start], 1).gather(1, order)
    exact = (queries[:, None, :].double() - references[place].double()).norm(dim=2)  # copies are at 0
    return exact, place


def check_manifolds(real: int, fake: int) -> None:
    """Raises `DataError` for too few images."""
    if min(real, fake) <= NEAREST:
        raise DataError(
            f"precision, recall, density and coverage need at least {NEAREST + 1} images a side, not "
            f"{real} real and {fake}"
        )


def manifolds(real: Tensor, fake: Tensor) -> dict[str, float]:
    """Precision and recall (Kynkäänniemi et al. 2019, https://arxiv.org/abs/1904.06991), density and
    coverage (Naeem et al. 2020, https://arxiv.org/abs/2002.09797, equations 4 and 5).

    An image's ball reaches to its k-th nearest neighbour of its own kind. precision: samples inside some
    real ball. recall: real images inside some sample's ball. density: real balls that a sample lies in,
    over k. coverage: real balls that hold a sample. Raises `DataError` for fewer than 6 images a side.
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
            found = squares(real[rows], fake[columns])
            inside[columns] |= (found <= real_radii[rows, MANIFOLD - 1, None]).any(0)
            balls[columns] += (found <= real_radii[rows, NEAREST - 1, None]).sum(0)
            hit |= (found <= fake_radii[columns, MANIFOLD - 1]).any(1)
            least = torch.minimum(least, found.amin(1))
        known.append(hit)
        covered.append(least <= real_radii[rows, NEAREST - 1])
    return {
        "precision": float(inside.float().mean()),
        "recall": float(torch.cat(known).float().mean()),
        "density": float(balls.double().mean()) / NEAREST,
        "coverage": float(torch.cat(covered).float().mean()),
    }
