"""Distances between two sets of features (N, D), (M, D)."""

from __future__ import annotations

from torch import Tensor, nn

from gantl_zoo.errors import DataError


class _Identity(nn.Module):
    """torchmetrics asks its extractor for `num_features`; ours have been applied already."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features: Tensor) -> Tensor:
        return features


def frechet(real: Tensor, fake: Tensor) -> float:
    """Fréchet distance between Gaussians fitted to both (Heusel et al. 2017, arXiv 1706.08500, eq. 6).

    Depends on the counts: always compare at equal ones, and with the floor of real against real.
    Raises `DataError` for fewer than two images or features that are not finite.
    """
    from torchmetrics.image.fid import FrechetInceptionDistance

    if min(len(real), len(fake)) < 2:
        raise DataError(f"a Fréchet distance needs at least 2 images a side, not {len(real)} and {len(fake)}")
    if not (real.isfinite().all() and fake.isfinite().all()):
        raise DataError("a Fréchet distance needs finite features; the samples hold NaN or infinity")
    metric = FrechetInceptionDistance(feature=_Identity(real.shape[1]))
    metric.update(real, real=True)
    metric.update(fake, real=False)
    return float(metric.compute())
