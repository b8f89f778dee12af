"""`lora`: freezes the generator's weights and adds a trained low-rank matrix to each.

Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685, section 4.1, for linear layers of language models.
Here also for convolutions, whose kernels are reshaped to a matrix with a row per output.
"""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from gantl_zoo import GAN
from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Rows, check


class LowRank(Rows):
    """W + scale · B A, where B (K, rank) is initialised to zero and A (rank, J) randomly."""

    def __init__(self, weight: Tensor, dim: int, rank: int, scale: float) -> None:
        super().__init__(weight, dim)
        rows, columns = self.base.shape
        rank = min(rank, rows, columns)
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, columns).normal_(std=columns**-0.5))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self) -> list[Tensor]:
        return [self.weight(self.base + self.scale * self.up @ self.down)]

    def nearest(self, weight: Tensor) -> Tensor:
        """The nearest weight that differs from W by a matrix of the factors' rank, by Eckart and Young."""
        base = self.base.detach().cpu().double()
        left, values, right = torch.linalg.svd(self.matrix(weight).cpu().double() - base, full_matrices=False)
        rank = self.up.shape[1]
        return self.weight(base + (left[:, :rank] * values[:rank]) @ right[:rank])


class LoRA(AdapterStrategy):
    """LoRA: train a low-rank matrix that is added to each frozen weight (Hu et al. 2021).

    The generator's norms and biases are frozen, and the discriminator is fully fine-tuned. In a classifier
    the last block is fully fine-tuned. Paper: https://arxiv.org/abs/2106.09685, section 4.1.

    The average of products of factors has a higher rank than the products: a saved generator has the nearest
    weights of the factors' rank. So its adapter (`GAN.adapter`) is small.

    `rank`: rank of the added matrices, at least 1; in a small layer at most the rank of its weight.
    `alpha`: scale of the added matrices, which are multiplied by alpha/rank; positive.
    """

    name = "lora"

    def __init__(self, *, rank: int = 8, alpha: float = 8.0) -> None:
        super().__init__()
        check(self.name, f"rank={rank} must be at least 1", rank >= 1)
        check(self.name, f"alpha={alpha} must be positive", alpha > 0)
        self.rank, self.alpha = rank, alpha

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        return LowRank(weight, dim, self.rank, self.alpha / self.rank)

    @torch.no_grad()
    def export(self, gan: GAN) -> GAN:
        generator = copy.deepcopy(gan.generator)  # training goes on with the average itself
        weights = dict(generator.named_parameters())
        for held in self.held.get("generator", []):
            weights[held.name].copy_(held.adapter.nearest(weights[held.name]))
        return replace(gan, generator=generator)
