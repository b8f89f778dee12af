"""Distances between two sets of features (N, D) and (M, D). Lower is better. They depend on N and M."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from gantl_zoo.errors import DataError

BLOCK = 4096
SUBSETS, SUBSET = 100, 1000  # the usual values for KID
LEFT_OUT = 2000  # images of each set that the jackknife uses; a larger set would have a smaller deviation
COMPONENTS = 64  # principal components that a Fréchet distance also compares, if there are many features
WIDE = 512  # more features than this are many
SEED = 2020  # that of torch-fidelity, so that the same features give the same values


class Interval(NamedTuple):
    """A value and its 95 % confidence interval; `low` and `high` are None if it can't be estimated."""

    value: float
    low: float | None = None
    high: float | None = None


class _Identity(nn.Module):
    """Stands in for torchmetrics' feature extractor, since its inputs are features already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to both sets (Heusel et al. 2017, arXiv 1706.08500, eq. 6).

    Compare only values of equal counts, and with the floor of real against real images. Raises `DataError` if
    a set has no more images than features, since its covariance would be singular.
    """
    check_frechet(len(real), len(fake), real.shape[1])
    from torchmetrics.image.fid import FrechetInceptionDistance

    # every process has all features: a sync in torchmetrics would count them once per process
    metric = FrechetInceptionDistance(feature=_Identity(real.shape[1]), sync_on_compute=False)
    for features, is_real in ((real, True), (fake, False)):
        for part in torch.split(features, BLOCK):
            metric.update(part.double(), real=is_real)
    return float(metric.compute())


def principal(real: Tensor, *others: Tensor, count: int = COMPONENTS) -> list[Tensor]:
    """Project sets of features on the first `count` principal components of `real`, float64, (N, count)."""
    mean = real.double().mean(0)
    centred = real.double() - mean
    _, vectors = torch.linalg.eigh(centred.T @ centred)  # ascending eigenvalues
    return [(features.double() - mean) @ vectors[:, -count:] for features in (real, *others)]


def check_frechet(real: int, fake: int, dimensions: int) -> None:
    """Raise `DataError` if there are too few images for a regular covariance."""
    if min(real, fake) <= dimensions:
        raise DataError(
            f"a Fréchet distance over {dimensions} features needs more than {dimensions} images per set, "
            f"not {real:,} real images and {fake:,} samples: the covariance would be singular; use "
            f"{dimensions + 1:,} or more, or the metric kd"
        )


def check_kernel(real: int, fake: int) -> None:
    """Raise `DataError` for too few images."""
    if min(real, fake) < 2:
        raise DataError(
            f"a kernel distance needs at least 2 images per set, not {real} real images and {fake} samples"
        )


def kernel(real: Tensor, fake: Tensor) -> Interval:
    """Kernel distance: the unbiased squared MMD with the kernel (x·y/D + 1)³, mean of 100 random subsets of
    1,000 (Bińkowski et al. 2018, https://arxiv.org/abs/1801.01401, section 4).

    The estimate is unbiased, so it may be below zero for equal distributions. The interval is the jackknife's
    (`deviation`). Fewer than 4 images in a set give no interval; fewer than 2 raise `DataError`.
    """
    check_kernel(len(real), len(fake))
    count = min(len(real), len(fake))
    random, size = np.random.RandomState(SEED), min(SUBSET, count)
    subsets = []
    for _ in range(SUBSETS if size < max(len(real), len(fake)) else 1):
        ours, theirs = (random.choice(len(side), size, replace=False) for side in (real, fake))
        subsets.append(squared_mmd(real[torch.from_numpy(ours)], fake[torch.from_numpy(theirs)]))
    value = float(np.mean(subsets))
    if count < 4:
        return Interval(value)
    some = [side[torch.from_numpy(random.permutation(len(side))[:LEFT_OUT])] for side in (real, fake)]
    spread = student(min(map(len, some)) - 1) * deviation(*some)
    return Interval(value, value - spread, value + spread)


def deviation(first: Tensor, second: Tensor) -> float:
    """The standard deviation of the unbiased squared MMD of sets of 3 or more, by the jackknife.

    That of two samples: each image of either set is left out once (Arvesen 1969, Annals of Mathematical
    Statistics 40, section 4). Somewhat too large for equal distributions.
    """
    n, m = len(first), len(second)
    across = similarity(first, second).double()
    total, variance = across.sum(), 0.0
    for side, count, others, sums in ((first, n, m, across.sum(1)), (second, m, n, across.sum(0))):
        within = similarity(side, side).double()
        rows = within.sum(1) - within.diagonal()
        left_out = (rows.sum() - 2 * rows) / ((count - 1) * (count - 2))  # (count,)
        left_out -= 2 * (total - sums) / ((count - 1) * others)
        variance += float((left_out - left_out.mean()).square().sum()) * (count - 1) / count
    return math.sqrt(variance)


def squared_mmd(first: Tensor, second: Tensor) -> float:
    """Unbiased estimate of the squared MMD for two sets of equal size n: pairs within a set exclude i = j."""
    n = len(first)
    within = [similarity(side, side) for side in (first, second)]
    total = sum(float(matrix.sum(dtype=torch.double) - matrix.trace()) for matrix in within) / (n * (n - 1))
    return total - 2 * float(similarity(first, second).mean(dtype=torch.double))


def similarity(first: Tensor, second: Tensor) -> Tensor:
    """The kernel (x·y/D + 1)³ of all pairs, shape (n, m)."""
    products = torch.addmm(first.new_ones(()), first, second.T, alpha=1 / first.shape[1])
    return products.square().mul_(products)


def student(freedom: int) -> float:
    """The 97.5 % quantile of Student's t, by the Cornish-Fisher expansion around the normal quantile."""
    z, n = 1.959964, max(freedom, 1)
    terms = (
        (z**3 + z) / 4,
        (5 * z**5 + 16 * z**3 + 3 * z) / 96,
        (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / 384,
    )
    return z + terms[0] / n + terms[1] / n**2 + terms[2] / n**3
