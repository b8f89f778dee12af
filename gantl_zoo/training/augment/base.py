"""The base class of augmentations."""

from __future__ import annotations

from torch import Tensor, nn

from gantl_zoo.training.processes import ALONE, Processes


class Augment(nn.Module):
    """Base class: returns images (N, C, H, W) unchanged. State belongs in buffers, which are saved."""

    def forward(self, images: Tensor) -> Tensor:
        return images

    def adapt(self, real_logits: Tensor, processes: Processes = ALONE) -> None:
        """Update the state from this process's logits (N, …) of augmented real images."""
