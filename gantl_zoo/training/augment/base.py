"""The base class of augmentations."""

from __future__ import annotations

from torch import Tensor, nn

from gantl_zoo.training.processes import ALONE, Processes


class Augment(nn.Module):
    """None: images (N, C, H, W) to the same. State is kept in buffers, which are saved with the run."""

    def forward(self, images: Tensor) -> Tensor:
        return images

    def adapt(self, real_logits: Tensor, processes: Processes = ALONE) -> None:
        """Look at the logits (N,) that the augmented real images got, of which each process has its share."""
