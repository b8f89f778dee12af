"""Top-k: the generator learns from its best images only."""

from __future__ import annotations

from torch import Tensor

from gantl_zoo.registry import arguments
from gantl_zoo.training.critic import rank
from gantl_zoo.training.regularizers.base import Regularizer


class TopK(Regularizer):
    """Top-k: the generator learns only from the images with the largest logits.

    Sinha et al. 2020, https://arxiv.org/abs/2002.06224. The share of these images falls
    geometrically from 1, as in the paper, but with the steps instead of the passes over the images. The other
    logits keep their values and lose their gradients.

    `fraction`: share of the images from which the generator learns at last.
    `steps`: number of steps until then.
    """

    def __init__(self, *, fraction: float = 0.5, steps: int = 5_000) -> None:
        super().__init__()
        limits = {"fraction": ("above 0, and at most 1", lambda value: 0 < value <= 1)}
        values = {"fraction": fraction, "steps": steps}
        arguments.check_limits(values, limits | {"steps": arguments.AT_LEAST_ONE}, "top-k")
        self.fraction, self.steps = fraction, steps

    def kept(self, count: int, step: int) -> int:
        """The number of images, of `count`, from which the generator learns in this step."""
        share: float = self.fraction ** min(1.0, step / self.steps)
        return max(1, round(share * count))

    def generator_logits(self, logits: Tensor, step: int) -> Tensor:
        count = len(logits)
        if (kept := self.kept(count, step)) == count:
            return logits
        fixed = logits.detach()
        weight = fixed.new_zeros(count).index_fill(0, rank(fixed).topk(kept).indices, count / kept)
        return fixed + (logits - fixed) * weight.view(-1, *[1] * (logits.dim() - 1))  # (N, …)
