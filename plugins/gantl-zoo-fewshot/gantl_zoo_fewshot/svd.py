"""`svd`: of every weight only the singular values learn.

FSGAN (Robb et al. 2020, "Few-Shot Adaptation of Generative Adversarial Networks",
https://arxiv.org/abs/2010.11943, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Rows, check, players


class Singular(Rows):
    """W + U diag(δ) Vᵀ = U diag(σ + δ) Vᵀ, where U, σ, V are those of W; δ starts at zero."""

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__(weight, dim)
        left, values, right = torch.linalg.svd(self.base, full_matrices=False)
        self.left, self.right = nn.Parameter(left, False), nn.Parameter(right, False)  # (K, R), (R, J)
        self.shift = nn.Parameter(torch.zeros_like(values))  # (R,)

    def forward(self) -> list[Tensor]:
        return [self.weight(self.base + (self.left * self.shift) @ self.right)]


class SVD(AdapterStrategy):
    """Of the linear and convolutional layers only the singular values learn.

    `network`: "both" (the paper's), "generator" or "discriminator"; the other one learns in full. Singular
    vectors, norms and biases rest. `rate` multiplies the learning rate: a step of all weights moves a matrix
    much farther than a step of its few singular values. Differs from the paper: σ + δ may change its sign,
    nothing keeps it positive. Of a spectrally normalised layer the weight before the norm is decomposed. In a
    classifier the last block learns in full.
    """

    name = "svd"

    def __init__(self, *, network: str = "both", rate: float = 100.0) -> None:
        super().__init__()
        check(self.name, f"rate={rate} must be positive", rate > 0)
        self.rate = rate
        self.roles = players(self.name, network)

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        return Singular(weight, dim)
