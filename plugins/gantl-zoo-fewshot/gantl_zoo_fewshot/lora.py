"""`lora`: the generator's weights stay, a matrix of low rank is added to each.

Hu et al. 2021, "LoRA", https://arxiv.org/abs/2106.09685, section 4.1, there for the linear layers of language
models; here for convolutions, too, whose kernels are laid out as a matrix with a row for each output.
"""

from __future__ import annotations

from torch import Tensor, nn

from gantl_zoo_fewshot.adapters import Adapter, AdapterStrategy, Rows, check


class LowRank(Rows):
    """W + scale · B A; B (K, rank) starts at zero, A (rank, J) at random."""

    def __init__(self, weight: Tensor, dim: int, rank: int, scale: float) -> None:
        super().__init__(weight, dim)
        rows, columns = self.base.shape
        rank = min(rank, rows, columns)
        self.scale = scale
        self.down = nn.Parameter(weight.new_empty(rank, columns).normal_(std=columns**-0.5))
        self.up = nn.Parameter(weight.new_zeros(rows, rank))

    def forward(self) -> list[Tensor]:
        return [self.weight(self.base + self.scale * self.up @ self.down)]


class LoRA(AdapterStrategy):
    """Each weight of the generator is W + `alpha`/`rank` · B A, of which A and B learn.

    The discriminator learns in full; norms and biases of the generator rest. A layer that is smaller than
    `rank` gets its own full rank. In a classifier the last block learns in full.
    """

    name = "lora"

    def __init__(self, *, rank: int = 8, alpha: float = 8.0) -> None:
        super().__init__()
        check(self.name, f"rank={rank} is no rank; it must be at least 1", rank >= 1)
        check(self.name, f"alpha={alpha} must be positive", alpha > 0)
        self.rank, self.alpha = rank, alpha

    def adapter(self, weight: Tensor, dim: int) -> Adapter:
        return LowRank(weight, dim, self.rank, self.alpha / self.rank)
