"""`svd`: trains only the singular values of the weights.

FSGAN (Robb et al. 2020, "Few-Shot Adaptation of Generative Adversarial Networks",
https://arxiv.org/abs/2010.11943, section 3.2).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Rows, check, fixed, players


class Singular(Rows):
    """W + U diag(δ) Vᵀ = U diag(σ + δ) Vᵀ, where W = U diag(σ) Vᵀ; δ is initialised to zero."""

    def __init__(self, weight: Tensor, dim: int) -> None:
        super().__init__(weight, dim)
        exact = self.base.detach().cpu().double()  # so that every machine has the same singular vectors
        left, _, right = torch.linalg.svd(exact, full_matrices=False)
        self.left, self.right = fixed(left.to(weight)), fixed(right.to(weight))  # (K, R), (R, J)
        self.shift = nn.Parameter(weight.new_zeros(len(right)))  # (R,)

    def forward(self) -> list[Tensor]:
        return [self.weight(self.base + (self.left * self.shift) @ self.right)]


class SVD(AdapterStrategy):
    """FSGAN: train only the singular values of the weights (Robb et al. 2020).

    Singular vectors, norms and biases are frozen. In a classifier the last block is fully fine-tuned.
    Paper: https://arxiv.org/abs/2010.11943, section 3.2.

    `network`: network to which the method applies: "both" (as in the paper), "generator" or "discriminator".
        The other one is fully fine-tuned.
    `rate`: factor of the learning rate for the singular values; positive. It is large because a step of a few
        singular values moves a matrix much less than a step of all its weights.

    For a layer with spectral norm, the weight before the norm is decomposed.

    Differs from the paper: σ + δ is not kept positive.
    """

    name = "svd"

    def __init__(self, *, network: str = "both", rate: float = 100.0) -> None:
        super().__init__()
        check(self.name, f"rate={rate} must be positive", rate > 0)
        self.rate = rate
        self.roles = players(self.name, network)

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        return Singular(weight, dim)
