"""The base class of augmentations. A plug-in registers its own with `@gz.augmentations.register("mine")`."""

from __future__ import annotations

from torch import Tensor, nn

from gantl_zoo.training.processes import ALONE, Processes


class Augment(nn.Module):
    """No augmentation: the images (N, C, H, W) stay as they are.

    A subclass overrides `forward`. Its state belongs in buffers, which are saved with the run. The
    constructor takes keyword arguments that JSON can store.
    """

    def __init__(self) -> None:
        super().__init__()

    def forward(self, images: Tensor) -> Tensor:
        """The augmented images (N, C, H, W)."""
        return images

    def adapt(self, real_logits: Tensor, processes: Processes = ALONE) -> None:
        """Update the state from this process's logits (N, …) of augmented real images."""
